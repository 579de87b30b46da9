package event

import (
	"math/rand/v2"
	"net/netip"
	"reflect"
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
