package event

import (
	"encoding/json"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"runtime"
	"testing"
	"time"
	"unsafe"
)

// referredTo is the memory that a value refers to, found by reflection.
func referredTo(v reflect.Value) (n int) {
	switch v.Interface().(type) {
	case time.Time, netip.AddrPort: // what they refer to is shared
		return 0
	}
	switch v.Kind() {
	case reflect.String:
		return v.Len()
	case reflect.Pointer:
		if !v.IsNil() {
			n = int(v.Type().Elem().Size()) + referredTo(v.Elem())
		}
	case reflect.Slice:
		n = v.Cap() * int(v.Type().Elem().Size())
		for i := range v.Len() {
			n += referredTo(v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			n += referredTo(v.Field(i))
		}
	}
	return n
}

// The size of an event is that of all that it refers to, whatever is in it.
func TestSize(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, k := range Kinds() {
		for range 200 {
			e := Event{Body: NewBody(k)}
			pick(r, reflect.ValueOf(e.Body).Elem())
			want := int(unsafe.Sizeof(e)) + referredTo(reflect.ValueOf(e.Body))
			if got := e.Size(); got != want {
				t.Fatalf("%s: %d, want %d: %s", k, got, want, e.AppendJSON(nil))
			}
		}
	}
}

// The estimate of an event's memory is near what the runtime needs for it.
func TestSizeInMemory(t *testing.T) {
	hello, err := json.Marshal(Event{Conn: 1, N: 1, View: Wire, Body: &Message{
		Type: 1, Frames: []uint64{1, 2}, ClientHello: &ClientHello{
			ServerName: "a.long.name.of.some.host.example", ALPN: []string{"h2", "http/1.1"},
			CipherSuites: make([]CipherSuite, 40),
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	segment, err := json.Marshal(Event{Conn: 1, N: 1, View: Wire, Body: &Segment{Flags: SYN}})
	if err != nil {
		t.Fatal(err)
	}
	for name, line := range map[string][]byte{"segment": segment, "hello": hello} {
		const n = 1_000
		es := make([]*Event, n)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		estimate := 0
		for i := range es {
			es[i] = new(Event)
			if err := json.Unmarshal(line, es[i]); err != nil {
				t.Fatal(err)
			}
			estimate += es[i].Size()
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(es)
		used := int(after.HeapAlloc) - int(before.HeapAlloc)
		if estimate < used/2 || estimate > used*2 {
			t.Errorf("%s: estimated %d bytes, used %d", name, estimate/n, used/n)
		}
	}
}
