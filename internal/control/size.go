package control

import (
	"reflect"
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
		return int(v.Elem().Type().Size()) + referred(v.Elem())
	case reflect.Slice:
		n := v.Cap() * int(v.Type().Elem().Size())
		switch v.Type().Elem().Kind() {
		case reflect.String, reflect.Pointer, reflect.Slice, reflect.Struct:
			for i := range v.Len() {
				n += referred(v.Index(i))
			}
		}
		return n
	case reflect.Struct:
		n := 0
		for i := range v.NumField() {
			n += referred(v.Field(i))
		}
		return n
	}
	return 0
}
