package stack

import (
	"flag"
	"os"
	"testing"

	"go.uber.org/goleak"
	"gvisor.dev/gvisor/pkg/refs"
)

// When all tests are done, no goroutine and no packet buffer may be left.
func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.bench").Value.String() == "" {
		refs.SetLeakMode(refs.LeaksPanic) // it would be what is measured
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		refs.DoLeakCheck()
		os.Exit(code)
	}))
}
