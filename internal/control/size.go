package control

import (
	"reflect"
	"sync"
	"unsafe"

	"synscope/event"
)

// sizeOf estimates the memory of an event: what it and its body refer to,
// without what the allocator adds.
func sizeOf(e *event.Event) int {
	return int(unsafe.Sizeof(*e)) + referred(reflect.ValueOf(e.Body))
}

// referred is the memory that a value refers to. Text that two values share is
// counted for each.
func referred(v reflect.Value) int {
	switch v.Kind() {
	case reflect.String:
		return v.Len()
	case reflect.Pointer:
		if v.IsNil() {
			return 0
		}
		return int(v.Type().Elem().Size()) + referred(v.Elem())
	case reflect.Slice:
		n := v.Cap() * int(v.Type().Elem().Size())
		if refers(v.Type().Elem()) {
			for i := range v.Len() {
				n += referred(v.Index(i))
			}
		}
		return n
	case reflect.Struct:
		n := 0
		for _, i := range referring(v.Type()) {
			n += referred(v.Field(i))
		}
		return n
	}
	return 0
}

// refers reports whether values of a type can refer to memory.
func refers(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String, reflect.Pointer, reflect.Slice:
		return true
	case reflect.Struct:
		return len(referring(t)) > 0
	}
	return false
}

// referring returns the fields of a struct that can refer to memory.
func referring(t reflect.Type) []int {
	if fields, ok := referringFields.Load(t); ok {
		return fields.([]int)
	}
	var fields []int
	for i := range t.NumField() {
		if refers(t.Field(i).Type) {
			fields = append(fields, i)
		}
	}
	referringFields.Store(t, fields)
	return fields
}

// referringFields are those of the types that were asked for: []int by
// reflect.Type.
var referringFields sync.Map
