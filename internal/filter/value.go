package filter

import (
	"errors"
	"fmt"
	"reflect"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"

	"synscope/event"
)

// errMissing says that an object has no value of a field: an event of this kind
// has none, or the connection of an event of no connection was asked for.
var errMissing = errors.New("no such field")

// An object is a struct of package event as a value of CEL. It refers to the
// struct, which is converted no further than an expression asks.
type object struct {
	typ   *structType
	v     reflect.Value // the struct; of an event, its body
	event *event.Event  // nil if it is no event
}

var (
	_ traits.Indexer     = (*object)(nil)
	_ traits.FieldTester = (*object)(nil)
)

// Get returns a field, for an expression that does not know the type.
func (o *object) Get(index ref.Val) ref.Val {
	if f := o.typ.fields[fmt.Sprint(index.Value())]; f != nil {
		if v := f.get(o); v != nil {
			return v
		}
	}
	return types.WrapErr(errMissing)
}

// IsSet reports whether the object has a field, as Get.
func (o *object) IsSet(name ref.Val) ref.Val {
	f := o.typ.fields[fmt.Sprint(name.Value())]
	return types.Bool(f != nil && f.has(o))
}

// Equal compares what the objects hold.
func (o *object) Equal(other ref.Val) ref.Val {
	p, ok := other.(*object)
	return types.Bool(ok && o.typ == p.typ && o.event == p.event && reflect.DeepEqual(o.v.Interface(), p.v.Interface()))
}

// Type implements ref.Val.
func (o *object) Type() ref.Type { return o.typ.cel }

// Value returns the object itself: the getters of its fields want it.
func (o *object) Value() any { return o }

// ConvertToNative implements ref.Val. There is nothing to convert to.
func (o *object) ConvertToNative(typ reflect.Type) (any, error) {
	return nil, fmt.Errorf("%s cannot be converted to %v", o.typ.cel, typ)
}

// ConvertToType implements ref.Val.
func (o *object) ConvertToType(typ ref.Type) ref.Val {
	if typ == types.TypeType {
		return o.typ.cel
	}
	return types.NewErr("%s cannot be converted to %s", o.typ.cel, typ.TypeName())
}

// A row is the variables of an expression for one event of a connection.
type row struct {
	event object
	conn  object // its v is not valid where there is no connection
}

// set sets what the variables are. The summary is nil for an event of no
// connection.
func (r *row) set(e *event.Event, s *event.Summary) {
	r.event.v, r.event.event, r.conn.v = reflect.Value{}, e, reflect.Value{}
	if e != nil {
		r.event.v = reflect.ValueOf(e.Body).Elem()
	}
	if s != nil {
		r.conn.v = reflect.ValueOf(s).Elem()
	}
}

// ResolveName implements interpreter.Activation.
func (r *row) ResolveName(name string) (any, bool) {
	if name == eventVar {
		if r.event.event == nil {
			return types.WrapErr(errMissing), true
		}
		return &r.event, true
	}
	f := r.conn.typ.fields[name]
	switch {
	case f == nil:
		return nil, false
	case !r.conn.v.IsValid():
		return types.WrapErr(errMissing), true
	}
	return f.get(&r.conn), true
}

// Parent implements interpreter.Activation.
func (r *row) Parent() interpreter.Activation { return nil }
