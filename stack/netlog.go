package stack

import (
	"fmt"
	"time"

	"gvisor.dev/gvisor/pkg/log"
)

// LogTo has what netstack itself logs, warnings and worse, written by f instead
// of to the standard error. It holds for the whole process. F may be called by
// several goroutines and must not call back into a Stack.
func LogTo(f func(text string)) {
	log.SetLevel(log.Warning)
	log.SetTarget(emitter(f))
}

type emitter func(string)

// Emit implements log.Emitter.
func (f emitter) Emit(_ int, _ log.Level, _ time.Time, format string, args ...any) {
	f(fmt.Sprintf(format, args...))
}
