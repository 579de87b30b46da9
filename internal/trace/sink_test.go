package trace

import (
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"synscope/event"
)

// A slow sink waits at its gate with each event.
type slow struct {
	step    chan struct{} // nil: it does not wait
	waiting chan struct{}

	mu      sync.Mutex
	got     []string
	flushed int // how many events were flushed
}

func (s *slow) Event(e *event.Event) {
	if s.step != nil {
		s.waiting <- struct{}{}
		<-s.step
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, line(e))
}

func (s *slow) flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flushed = len(s.got)
	return nil
}

func device(change string) *event.Event {
	return &event.Event{View: event.Wire, Body: &event.Device{Name: "test0", Change: change}}
}

// What a slow sink misses is told where it would have been.
func TestQueueGap(t *testing.T) {
	s := &slow{step: make(chan struct{}), waiting: make(chan struct{})}
	q := NewQueue(s, s.flush, 2)
	q.Event(device("a"))
	<-s.waiting // the sink has it, and the queue is empty
	for _, change := range []string{"b", "c", "lost", "lost"} {
		q.Event(device(change))
	}
	s.step <- struct{}{}
	<-s.waiting // with b: the queue is empty again
	q.Event(device("d"))
	q.Event(device("lost, as the gap takes room too"))
	for range 3 {
		s.step <- struct{}{}
		<-s.waiting
	}
	s.step <- struct{}{}
	go func() { // the gap of what was lost last
		<-s.waiting
		s.step <- struct{}{}
	}()
	q.Close()
	want := []string{
		"device test0 a", "device test0 b", "device test0 c",
		"gap 2 events: the sink was too slow",
		"device test0 d",
		"gap 1 events: the sink was too slow",
	}
	if diff := cmp.Diff(want, s.got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if s.flushed != len(s.got) {
		t.Errorf("flushed after %d events of %d", s.flushed, len(s.got))
	}
}

// What was lost is told also if nothing comes after it and nothing is queued.
func TestQueueGapAtEnd(t *testing.T) {
	s := &slow{}
	q := NewQueue(s, s.flush, 0)
	q.Event(device("lost"))
	q.Close()
	if diff := cmp.Diff([]string{"gap 1 events: the sink was too slow"}, s.got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Close hands on everything, and all calls of it wait for that.
func TestQueueClose(t *testing.T) {
	s := &slow{}
	q := NewQueue(s, nil, DefaultQueue)
	const n = 10_000
	for range n {
		q.Event(device("up"))
	}
	var closers sync.WaitGroup
	for range 3 {
		closers.Go(func() {
			q.Close()
			s.mu.Lock()
			defer s.mu.Unlock()
			if len(s.got) != n {
				t.Errorf("%d events when Close returned, want %d", len(s.got), n)
			}
		})
	}
	closers.Wait()
}

// batches is a BatchSink.
type batches struct {
	t     *testing.T
	calls int
	*recorder
}

func (b *batches) Event(*event.Event) { b.t.Error("an event by itself") }

func (b *batches) Events(es []*event.Event) {
	b.calls++
	for _, e := range es {
		b.recorder.Event(e)
	}
}

// What takes several events at once gets the same ones as what takes them one by
// one, as soon as what was observed is done, and the last at the end.
func TestBatchSink(t *testing.T) {
	one, several := newRecorder(t), &batches{t: t, recorder: newRecorder(t)}
	tr := newTracer(Config{Endpoint: event.Server, Sinks: []Sink{several, one}}, defaultLimits)
	w := newWire(t, tr)
	w.connect()
	w.sync()
	several.want(1, connected)
	if n := len(one.of(1)); several.calls >= n {
		t.Errorf("%d calls for %d events", several.calls, n)
	}
	tr.Close()
	several.want(1, connected+"close shutdown")
	if diff := cmp.Diff(one.json, several.json); diff != "" {
		t.Errorf("(-one by one +several):\n%s", diff)
	}
}

// Of several events at once a queue takes as many as there is room for.
func TestQueueBatchGap(t *testing.T) {
	s := &slow{step: make(chan struct{}), waiting: make(chan struct{})}
	q := NewQueue(s, s.flush, 3)
	q.Event(device("a"))
	<-s.waiting
	q.Events([]*event.Event{device("b"), device("c"), device("d"), device("lost"), device("lost")})
	go func() {
		for range s.waiting {
			s.step <- struct{}{}
		}
	}()
	s.step <- struct{}{}
	q.Close()
	close(s.waiting)
	want := []string{"device test0 a", "device test0 b", "device test0 c", "device test0 d", "gap 2 events: the sink was too slow"}
	if diff := cmp.Diff(want, s.got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
