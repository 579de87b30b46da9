package trace

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"synscope/event"
)

// interleave returns the packets of n connections, mixed, each with a gap of
// time behind it that may be long.
func interleave(t *testing.T, n int) []Recorded {
	random := rand.New(rand.NewPCG(1, 2))
	var all [][][]byte
	for i := range n {
		w := newWire(t, nil).another(i)
		var packets [][]byte
		add := func(from event.Side, flags event.Flags, payload string) {
			packets = append(packets, w.packet(from, flags, payload))
			w.seq[from] += uint32(len(payload))
			if flags&(event.SYN|event.FIN) != 0 {
				w.seq[from]++
			}
		}
		add(event.Client, event.SYN, "")
		add(event.Server, event.SYN|event.ACK, "")
		add(event.Client, event.ACK, "")
		add(event.Client, event.ACK, "GET / HTTP/1.0\r\n\r\n")
		switch i % 3 {
		case 0:
			add(event.Client, event.FIN|event.ACK, "")
			add(event.Server, event.FIN|event.ACK, "")
			add(event.Client, event.ACK, "")
		case 1:
			add(event.Server, event.RST, "")
			add(event.Client, event.ACK, "")
		}
		all = append(all, packets)
	}
	at := time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)
	var rs []Recorded
	for len(all) > 0 {
		i := random.IntN(len(all))
		at = at.Add(time.Duration(random.IntN(int(20 * time.Millisecond))))
		b := all[i][0]
		rs = append(rs, Recorded{Time: at, Frame: uint64(len(rs) + 1), IP: b, Len: len(b)})
		if all[i] = all[i][1:]; len(all[i]) == 0 {
			all = slices.Delete(all, i, i+1)
		}
	}
	return rs
}

// byFlow returns the encoded events of each connection, without its number.
func byFlow(t *testing.T, events []*event.Event) map[string][]string {
	t.Helper()
	flows := make(map[uint64]string)
	stories := make(map[string][]string)
	for _, e := range events {
		if o, ok := e.Body.(*event.Open); ok {
			flows[e.Conn] = o.Client.String()
		}
		e := *e
		key := flows[e.Conn]
		e.Conn = 0
		b, err := json.Marshal(&e)
		if err != nil {
			t.Fatal(err)
		}
		stories[key] = append(stories[key], string(b))
	}
	return stories
}

// What several players tell is what one tells, in the order of the packets, and
// connections are numbered in the order of their first.
func TestReplayIsOnePlayer(t *testing.T) {
	packets := interleave(t, 500)
	one, many := newRecorder(t), newRecorder(t)
	p := newPlayer(Config{Sinks: []Sink{one}}, replayLimits)
	r := NewReplay(many)
	for i, packet := range packets {
		p.packet(packet)
		packet.IP = slices.Clone(packet.IP)
		if !r.Packet(packet) {
			t.Error("a segment was not taken for one")
		}
		clear(packet.IP) // it is valid only during the call
		if i == len(packets)/2 {
			r.Flush()
			if got := many.frames(); got != uint64(i+1) {
				t.Errorf("after Flush the newest frame told is %d, want %d", got, i+1)
			}
		}
	}
	p.close()
	r.Close()
	if diff := cmp.Diff(byFlow(t, one.events), byFlow(t, many.events)); diff != "" {
		t.Errorf("(-one +many):\n%s", diff)
	}
	var conn, frame uint64
	for _, e := range many.events {
		switch b := e.Body.(type) {
		case *event.Open:
			if conn++; e.Conn != conn {
				t.Fatalf("connection %d is the %d. to open", e.Conn, conn)
			}
		case *event.Segment:
			if b.Frame < frame {
				t.Fatalf("frame %d is told after %d", b.Frame, frame)
			}
			frame = b.Frame
		}
	}
}

// frames returns the newest frame that was told.
func (r *recorder) frames() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := len(r.events) - 1; i >= 0; i-- {
		if s, ok := r.events[i].Body.(*event.Segment); ok {
			return s.Frame
		}
	}
	return 0
}

// The numbers of connections are let go when nothing can come of them any more.
func TestReplayForgetsNumbers(t *testing.T) {
	l := replayLimits
	l.ended = shards
	m := &merger{}
	for i := range m.conns {
		m.conns[i] = make(map[uint64]uint64)
	}
	s := &steps{}
	p := newPlayer(Config{Sinks: []Sink{s}}, l)
	p.engine.forgotten = s.forgotten
	for _, packet := range interleave(t, 200) {
		p.packet(packet)
	}
	p.close()
	for _, step := range s.list {
		m.step(m.conns[0], step)
	}
	if n := len(m.conns[0]); n != 0 {
		t.Errorf("%d numbers are kept", n)
	}
	if m.nextConn < 200 {
		t.Errorf("%d connections, want 200, and those of stray segments", m.nextConn)
	}
}

// What was lost is told in its place, with an ordinal of its own.
func TestReplayLost(t *testing.T) {
	events := newRecorder(t)
	r := NewReplay(events)
	for i, p := range interleave(t, 1) {
		if i == 2 {
			r.Lost(7, "fragments", "one")
		}
		r.Packet(p)
	}
	r.Lost(8, "datagrams", "two")
	r.Close()
	events.want(0, `
		gap 7 fragments: one
		gap 8 datagrams: two
	`)
	seen := 0
	for _, e := range events.events {
		if _, ok := e.Body.(*event.Segment); ok && e.Conn != 0 {
			seen++
		}
		if e.Conn == 0 && e.N == 1 && seen != 2 {
			t.Errorf("the first loss is told after %d segments, want 2", seen)
		}
	}
}

// Both directions of a connection are of one shard, and connections spread.
func TestShards(t *testing.T) {
	var used [shards]int
	r := newReplay(replayLimits)
	defer r.Close()
	for i := range 1000 {
		w := newWire(t, nil).another(i)
		var of []int
		for _, from := range []event.Side{event.Client, event.Server} {
			b := w.packet(from, event.ACK, "")
			if !isTCP(&r.pkt, &Recorded{IP: b, Len: len(b)}) {
				t.Fatal("not TCP")
			}
			of = append(of, shardOf(&r.pkt))
		}
		if of[0] != of[1] {
			t.Fatalf("%v: the shards of its directions are %d and %d", w.flow, of[0], of[1])
		}
		used[of[0]]++
	}
	for i, n := range used {
		if n < 1000/shards/2 {
			t.Errorf("shard %d has %d of 1000 connections", i, n)
		}
	}
}
