package ladder

import (
	"fmt"

	"synscope/event"
	"synscope/internal/typeset"
)

// noteText is what an event that is no part of either protocol tells, not yet
// escaped.
func noteText(b event.Body) string {
	switch b := b.(type) {
	case *event.Dialed:
		if b.OK {
			return "the kernel dials, and is connected after " + typeset.Duration(b.Duration)
		}
		return "the kernel dials, and is not connected after " + typeset.Duration(b.Duration) + ": " + b.Error
	case *event.Fault:
		return fmt.Sprintf("FAULT %s at %s: %s", b.Scenario, b.At, b.Action)
	case *event.Gap:
		return fmt.Sprintf("GAP %d %s lost: %s", b.Lost, b.What, b.Reason)
	case *event.Unreachable:
		s := fmt.Sprintf("unreachable: %s %s > %s, %s", b.Protocol, b.Src, b.Dst, b.Reason)
		if b.Answer != "" {
			return s + "; answered with " + b.Answer
		}
		return s + "; not answered"
	case *event.Device:
		return fmt.Sprintf("device %s is %s", b.Name, b.Change)
	case *event.CaptureEnd:
		return fmt.Sprintf("the capture %s ended: %s", b.File, b.Reason)
	}
	return string(b.Kind())
}
