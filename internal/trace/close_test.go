package trace

import (
	"context"
	"errors"
	"sync"
	"testing"

	"synscope/event"
)

// Close tells what is queued, and ends what is open.
func TestClose(t *testing.T) {
	tr, events := newTestTracer(t, defaultLimits)
	w := newWire(t, tr)
	w.connect()
	tr.Close()
	events.want(1, connected+"close shutdown")
	w.client(event.ACK, "") // ignored
	tr.Close()
	events.want(1, connected+"close shutdown")
	if err := tr.Sync(context.Background()); !errors.Is(err, errClosed) {
		t.Errorf("Sync after Close: %v, want %v", err, errClosed)
	}
	if es := tr.Events(w.flow); es != nil {
		t.Errorf("%d events of a connection after Close", len(es))
	}
}

// Close may come at any time: each Sync that is under way returns, and nothing
// is told after Close.
func TestCloseWhileInUse(t *testing.T) {
	for range 50 {
		r := newRecorder(t)
		tr := newTracer(Config{Endpoint: event.Server, Sinks: []Sink{r}}, defaultLimits)
		var users sync.WaitGroup
		for i := range 4 {
			users.Go(func() {
				w := newWire(t, tr).another(i)
				w.connect()
				if err := tr.Sync(context.Background()); err != nil && !errors.Is(err, errClosed) {
					t.Errorf("Sync: %v", err)
				}
				tr.Events(w.flow)
				w.reset()
			})
		}
		for range 2 {
			users.Go(func() { tr.Close() })
		}
		tr.Close()
		told := len(r.of(0)) + len(r.of(1))
		users.Wait()
		if now := len(r.of(0)) + len(r.of(1)); now != told {
			t.Errorf("%d events after Close", now-told)
		}
		if n := size(tr); n != 0 {
			t.Errorf("%d things left after Close", n)
		}
	}
}
