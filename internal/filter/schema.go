package filter

import (
	"encoding"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"synscope/event"
)

// A schema says how the Go types of package event are seen in an expression. It
// is made by reflection, from the names of their JSON encoding, and not changed
// after that. It is the adapter of values and the provider of types for CEL.
type schema struct {
	types.Provider // what CEL has by itself
	types.Adapter
	structs    map[string]*structType // by the names of their CEL types
	goTypes    map[reflect.Type]*structType
	converters map[reflect.Type]converter
	event      *structType
	summary    *structType
}

// A structType is the type of an object.
type structType struct {
	schema *schema
	cel    *types.Type
	names  []string // of the fields, in order
	fields map[string]*field
}

// A field of an object.
type field struct {
	typ *types.Type
	// get returns the value, nil if the object has none.
	get func(*object) ref.Val
	// has reports whether the JSON encoding of the object has the field.
	has func(*object) bool
	// kinds are the types that the field has in different kinds of events. If
	// there are several, typ is dyn.
	kinds []*types.Type
}

// A converter makes values of one Go type values of CEL. A nil pointer has none.
type converter struct {
	typ *types.Type
	val func(reflect.Value) ref.Val
}

func newSchema() (*schema, error) {
	registry, err := types.NewRegistry()
	if err != nil {
		return nil, err
	}
	s := &schema{
		Provider: registry, Adapter: registry,
		structs: make(map[string]*structType), goTypes: make(map[reflect.Type]*structType),
		converters: make(map[reflect.Type]converter),
	}
	s.summary = s.structOf(reflect.TypeFor[event.Summary]())
	s.event = s.newStruct("event")
	s.addHeader()
	for _, k := range event.Kinds() {
		s.addBody(reflect.TypeOf(event.NewBody(k)).Elem())
	}
	return s, nil
}

// newStruct makes an object type without fields. Its name has a space in it, so
// that no expression can make an object.
func (s *schema) newStruct(name string) *structType {
	t := &structType{schema: s, cel: types.NewObjectType("object " + name), fields: make(map[string]*field)}
	s.structs[t.cel.TypeName()] = t
	return t
}

func (t *structType) add(name string, f *field) {
	t.names = append(t.names, name)
	t.fields[name] = f
}

// structOf returns the object type of a Go struct.
func (s *schema) structOf(typ reflect.Type) *structType {
	if t := s.goTypes[typ]; t != nil {
		return t
	}
	t := s.newStruct(typ.Name())
	s.goTypes[typ] = t
	for i, name := range jsonFields(typ) {
		c, omit := s.converterOf(typ.Field(i).Type), omitted(typ.Field(i))
		t.add(name, &field{
			typ: c.typ, kinds: []*types.Type{c.typ},
			get: func(o *object) ref.Val { return c.val(o.v.Field(i)) },
			has: func(o *object) bool { return !omit || !empty(o.v.Field(i)) },
		})
	}
	return t
}

// jsonFields yields the index and the JSON name of each field that is encoded.
func jsonFields(typ reflect.Type) func(yield func(int, string) bool) {
	return func(yield func(int, string) bool) {
		for i := range typ.NumField() {
			name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			if name != "" && name != "-" && !yield(i, name) {
				return
			}
		}
	}
}

// omitted reports whether an empty field is left out of the JSON encoding.
func omitted(f reflect.StructField) bool {
	return strings.Contains(f.Tag.Get("json"), ",omit")
}

func empty(v reflect.Value) bool {
	return v.IsZero() || v.Kind() == reflect.Slice && v.Len() == 0
}

// addHeader adds the fields that all events share.
func (s *schema) addHeader() {
	always := func(*object) bool { return true }
	add := func(name string, typ *types.Type, get func(e *event.Event) ref.Val) {
		s.event.add(name, &field{
			typ: typ, kinds: []*types.Type{typ},
			get: func(o *object) ref.Val { return get(o.event) },
			has: always,
		})
	}
	add("time", types.TimestampType, func(e *event.Event) ref.Val { return types.Timestamp{Time: e.Time} })
	add("t", types.DurationType, func(e *event.Event) ref.Val { return types.Duration{Duration: e.T} })
	add("conn", types.IntType, func(e *event.Event) ref.Val { return types.Int(e.Conn) })
	add("n", types.IntType, func(e *event.Event) ref.Val { return types.Int(e.N) })
	add("kind", types.StringType, func(e *event.Event) ref.Val { return types.String(e.Kind()) })
	add("view", types.StringType, func(e *event.Event) ref.Val { return types.String(e.View) })
	add("from", types.StringType, func(e *event.Event) ref.Val { return types.String(e.From.String()) })
	s.event.fields["from"].has = func(o *object) bool { return o.event.From != event.NoSide }
}

// addBody adds the fields of one kind. An event of another kind that has no
// field of that name has no value of it.
func (s *schema) addBody(body reflect.Type) {
	for i, name := range jsonFields(body) {
		c, omit := s.converterOf(body.Field(i).Type), omitted(body.Field(i))
		f := s.event.fields[name]
		if f == nil {
			f = &field{typ: c.typ, get: func(*object) ref.Val { return nil }, has: func(*object) bool { return false }}
			s.event.add(name, f)
		}
		f.addKind(c.typ)
		get, has := f.get, f.has
		f.get = func(o *object) ref.Val {
			if o.v.Type() == body {
				return c.val(o.v.Field(i))
			}
			return get(o)
		}
		f.has = func(o *object) bool {
			if o.v.Type() == body {
				return !omit || !empty(o.v.Field(i))
			}
			return has(o)
		}
	}
}

// addKind takes the type that the field has in a further kind of events.
func (f *field) addKind(typ *types.Type) {
	for _, k := range f.kinds {
		if k.IsExactType(typ) {
			return
		}
	}
	if f.kinds = append(f.kinds, typ); len(f.kinds) > 1 {
		f.typ = types.DynType
	}
}

var textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()

// converterOf returns how values of a type are seen: as in their JSON encoding,
// but for times, which are timestamps, and durations.
func (s *schema) converterOf(typ reflect.Type) converter {
	c, ok := s.converters[typ]
	if !ok {
		c = s.newConverter(typ)
		s.converters[typ] = c
	}
	return c
}

func (s *schema) newConverter(typ reflect.Type) converter {
	switch typ {
	case reflect.TypeFor[time.Time]():
		return converter{types.TimestampType, func(v reflect.Value) ref.Val { return types.Timestamp{Time: v.Interface().(time.Time)} }}
	case reflect.TypeFor[time.Duration]():
		return converter{types.DurationType, func(v reflect.Value) ref.Val { return types.Duration{Duration: time.Duration(v.Int())} }}
	case reflect.TypeFor[event.Flags]():
		return converter{types.NewListType(types.StringType), func(v reflect.Value) ref.Val {
			return types.NewStringList(s, event.Flags(v.Uint()).Names())
		}}
	case reflect.TypeFor[[]uint64](): // whose elements CEL would make its other type of integers
		return converter{types.NewListType(types.IntType), func(v reflect.Value) ref.Val {
			ints := make([]int64, v.Len())
			for i := range ints {
				ints[i] = int64(v.Index(i).Uint())
			}
			return types.NewDynamicList(s, ints)
		}}
	case reflect.TypeFor[netip.AddrPort](): // whose String is not its text where it is zero
		return converter{types.StringType, func(v reflect.Value) ref.Val {
			b, _ := v.Interface().(netip.AddrPort).MarshalText() // fails never
			return types.String(b)
		}}
	}
	if typ.Implements(textMarshaler) {
		return converter{types.StringType, func(v reflect.Value) ref.Val { return types.String(v.Interface().(fmt.Stringer).String()) }}
	}
	switch typ.Kind() {
	case reflect.Bool:
		return converter{types.BoolType, func(v reflect.Value) ref.Val { return types.Bool(v.Bool()) }}
	case reflect.String:
		return converter{types.StringType, func(v reflect.Value) ref.Val { return types.String(v.String()) }}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return converter{types.IntType, func(v reflect.Value) ref.Val { return types.Int(v.Int()) }}
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return converter{types.IntType, func(v reflect.Value) ref.Val { return types.Int(v.Uint()) }}
	case reflect.Slice:
		return converter{types.NewListType(s.converterOf(typ.Elem()).typ), func(v reflect.Value) ref.Val {
			return types.NewDynamicList(s, v.Interface()) // its elements come through NativeToValue
		}}
	case reflect.Pointer:
		elem := s.converterOf(typ.Elem())
		return converter{elem.typ, func(v reflect.Value) ref.Val {
			if v.IsNil() {
				return nil
			}
			return elem.val(v.Elem())
		}}
	case reflect.Struct:
		t := s.structOf(typ)
		return converter{t.cel, func(v reflect.Value) ref.Val { return &object{typ: t, v: v} }}
	}
	panic("filter: no CEL type for " + typ.String()) // a field of a new type
}

// NativeToValue converts elements of lists.
func (s *schema) NativeToValue(value any) ref.Val {
	if v, ok := value.(ref.Val); ok {
		return v
	}
	v := reflect.ValueOf(value)
	if v.IsValid() {
		if c, ok := s.converters[v.Type()]; ok {
			return c.val(v)
		}
	}
	return s.Adapter.NativeToValue(value)
}

// FindStructType implements types.Provider.
func (s *schema) FindStructType(name string) (*types.Type, bool) {
	if t, ok := s.structs[name]; ok {
		return types.NewTypeTypeWithParam(t.cel), true
	}
	return s.Provider.FindStructType(name)
}

// FindStructFieldNames implements types.Provider.
func (s *schema) FindStructFieldNames(name string) ([]string, bool) {
	if t, ok := s.structs[name]; ok {
		return t.names, true
	}
	return s.Provider.FindStructFieldNames(name)
}

// FindStructFieldType implements types.Provider.
func (s *schema) FindStructFieldType(name, fieldName string) (*types.FieldType, bool) {
	t, ok := s.structs[name]
	if !ok {
		return s.Provider.FindStructFieldType(name, fieldName)
	}
	f := t.fields[fieldName]
	if f == nil {
		return nil, false
	}
	return &types.FieldType{
		Type:  f.typ,
		IsSet: func(target any) bool { return f.has(target.(*object)) },
		GetFrom: func(target any) (any, error) {
			if v := f.get(target.(*object)); v != nil {
				return v, nil
			}
			return nil, errMissing
		},
	}, true
}
