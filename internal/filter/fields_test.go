package filter

import (
	"encoding"
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"synscope/event"
)

// fill sets v, and everything in it, to values that are not zero.
func fill(v reflect.Value, n *int) {
	*n++
	switch x := v.Addr().Interface().(type) {
	case *time.Time:
		*x = time.Date(2026, 1, 2, 3, 4, *n%60, 5, time.UTC)
		return
	case *netip.AddrPort:
		*x = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 1}), uint16(*n))
		return
	case *event.Side:
		*x = event.Server
		return
	case *event.State:
		*x = event.StateListen
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i), n)
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString(fmt.Sprintf("text \"%d\"\n", *n))
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(*n % 256))
	default:
		panic("no value for " + v.Type().String())
	}
}

// decoded is what the JSON encoding of v says.
func decoded(t *testing.T, v any) map[string]any {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.UseNumber()
	if err := d.Decode(&m); err != nil {
		t.Fatal(err)
	}
	return m
}

// expressions returns expressions that are true if the fields of the struct typ,
// which are reached by path, are what the JSON encoding of the struct says.
func expressions(path string, typ reflect.Type, encoded map[string]any) []string {
	var all []string
	for i := range typ.NumField() {
		f := typ.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" {
			continue
		}
		value, ok := encoded[name]
		if path != "" {
			all = append(all, fmt.Sprintf("has(%s.%s) == %v", path, name, ok))
		}
		if ok {
			all = append(all, equals(strings.TrimPrefix(path+"."+name, "."), f.Type, value)...)
		}
	}
	return all
}

func equals(path string, typ reflect.Type, value any) []string {
	switch {
	case typ == reflect.TypeFor[time.Duration]():
		return []string{fmt.Sprintf(`%s == duration("%vns")`, path, value)}
	case typ == reflect.TypeFor[time.Time]():
		return []string{fmt.Sprintf(`%s == timestamp("%v")`, path, value)}
	case typ.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
		return []string{fmt.Sprintf("%s == %q", path, value)}
	}
	switch v := value.(type) {
	case map[string]any:
		if typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		return expressions(path, typ, v)
	case []any:
		all := []string{fmt.Sprintf("size(%s) == %d", path, len(v))}
		for i, elem := range v {
			elemType := reflect.TypeFor[string]() // of the flags
			if typ.Kind() == reflect.Slice {
				elemType = typ.Elem()
			}
			all = append(all, equals(path+"["+strconv.Itoa(i)+"]", elemType, elem)...)
		}
		return all
	case string:
		return []string{fmt.Sprintf("%s == %q", path, v)}
	case nil: // an empty list
		return []string{fmt.Sprintf("size(%s) == 0", path)}
	}
	return []string{fmt.Sprintf("%s == %v", path, value)}
}

// Each field of each kind has the name and the value of its JSON encoding, and
// is there where it is.
func TestEventFields(t *testing.T) {
	total := 0
	for _, k := range event.Kinds() {
		full, zero := event.NewBody(k), event.NewBody(k)
		n := 0
		fill(reflect.ValueOf(full).Elem(), &n)
		for _, body := range []event.Body{full, zero} {
			e := &event.Event{
				Time: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), T: 7 * time.Millisecond,
				Conn: 11, N: 9, View: event.Endpoint, From: event.Server, Body: body,
			}
			if body == zero {
				e.From = event.NoSide
			}
			encoded := decoded(t, e)
			all := expressions("event", reflect.TypeOf(body).Elem(), encoded)
			_, from := encoded["from"]
			all = append(all, `event.time == timestamp("2026-01-02T03:04:05.000000006Z")`, `event.t == duration("7ms")`, "event.conn == 11",
				"event.n == 9", fmt.Sprintf("event.kind == %q", k), `event.view == "endpoint"`, fmt.Sprintf("event.from == %q", e.From), fmt.Sprintf("has(event.from) == %v", from))
			for _, expr := range all {
				wantVerdict(t, expr, e, nil, yes)
			}
			total += len(all)
		}
	}
	if total < 500 {
		t.Errorf("only %d expressions were evaluated", total)
	}
}

// Each field of a connection is a variable with the value of its JSON encoding.
func TestConnectionFields(t *testing.T) {
	var full event.Summary
	n := 0
	fill(reflect.ValueOf(&full).Elem(), &n)
	for _, s := range []*event.Summary{&full, {}} {
		all := expressions("", reflect.TypeFor[event.Summary](), decoded(t, s))
		if len(all) < 30 {
			t.Errorf("only %d expressions", len(all))
		}
		for _, expr := range all {
			wantVerdict(t, expr, &event.Event{Body: &event.Device{}}, s, yes)
		}
	}
}

func mustCompile(t testing.TB, expr string) *Filter {
	t.Helper()
	f, err := Compile(expr)
	if err != nil {
		t.Fatalf("%s\n%v", expr, err)
	}
	return f
}

func wantVerdict(t *testing.T, expr string, e *event.Event, s *event.Summary, want verdict) {
	t.Helper()
	f := mustCompile(t, expr)
	if got := f.decide(f.newRow(), e, s); got != want {
		t.Errorf("%s\nis %v of %+v, want %v", expr, got, e.Body, want)
	}
}
