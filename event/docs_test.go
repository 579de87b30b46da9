package event

import (
	"encoding"
	"encoding/json"
	"net/netip"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A section is what docs/events.md says of one kind.
type section struct {
	kind    string
	tables  map[string][]string // rows, without their meaning, by path of the object
	example string
}

var (
	heading    = regexp.MustCompile("^## `?([A-Za-z._ ]+)`?$")
	subheading = regexp.MustCompile("^### `([a-z0-9_.]+)`$")
	row        = regexp.MustCompile("^\\| `([a-z0-9_]+)` \\| ([a-z ]+) \\| ([a-z0-9 ]*) ?\\| (.+) \\|$")
)

// sections reads docs/events.md.
func sections(t *testing.T) []section {
	t.Helper()
	b, err := os.ReadFile("../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	var ss []section
	path := ""
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSuffix(line, "\n")
		if m := heading.FindStringSubmatch(line); m != nil {
			ss = append(ss, section{kind: m[1], tables: make(map[string][]string)})
			path = ""
			continue
		}
		if len(ss) == 0 {
			continue
		}
		s := &ss[len(ss)-1]
		switch m := subheading.FindStringSubmatch(line); {
		case m != nil:
			path = m[1]
		case strings.HasPrefix(line, "{"):
			s.example = line
		case strings.HasPrefix(line, "| `"):
			m := row.FindStringSubmatch(line)
			if m == nil {
				t.Fatalf("not a row of four columns: %s", line)
			}
			s.tables[path] = append(s.tables[path], m[1]+" | "+m[2]+" | "+strings.TrimSpace(m[3]))
		}
	}
	return ss
}

// tables returns the rows that docs/events.md is to have for a type, and for
// the objects in it.
func tables(typ reflect.Type) map[string][]string {
	ts := make(map[string][]string)
	var add func(path string, typ reflect.Type)
	add = func(path string, typ reflect.Type) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			name, option, _ := strings.Cut(f.Tag.Get("json"), ",")
			kind, object := jsonType(f.Type)
			absent := ""
			if option != "" {
				absent = absentIf(f.Type, kind)
			}
			ts[path] = append(ts[path], name+" | "+kind+" | "+absent)
			if object != nil {
				add(strings.TrimPrefix(path+"."+name, "."), object)
			}
		}
	}
	add("", typ)
	return ts
}

var textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()

// jsonType returns how a type is encoded, and the type of the objects in it.
func jsonType(typ reflect.Type) (kind string, object reflect.Type) {
	switch {
	case typ == reflect.TypeFor[Flags]():
		return "list of strings", nil
	case typ.Implements(textMarshaler):
		return "string", nil
	}
	switch typ.Kind() {
	case reflect.Pointer:
		return jsonType(typ.Elem())
	case reflect.Struct:
		return "object", typ
	case reflect.Slice:
		kind, object = jsonType(typ.Elem())
		return "list of " + kind + "s", object
	case reflect.Bool:
		return "boolean", nil
	case reflect.String:
		return "string", nil
	}
	return "number", nil
}

func absentIf(typ reflect.Type, kind string) string {
	switch {
	case typ.Kind() == reflect.Pointer || kind == "object":
		return "there is none"
	case kind == "boolean":
		return "false"
	case kind == "number":
		return "0"
	}
	return "empty"
}

// docs/events.md lists each field of each kind, and none that does not exist.
func TestReference(t *testing.T) {
	ss := sections(t)
	if len(ss) == 0 || ss[0].kind != "Shared fields" {
		t.Fatal("docs/events.md does not begin with the shared fields")
	}
	if diff := cmp.Diff(tables(reflect.TypeFor[header]()), ss[0].tables); diff != "" {
		t.Errorf("shared fields (-types +docs):\n%s", diff)
	}
	ss = ss[1:]
	documented := make(map[Kind]bool)
	for _, s := range ss {
		body := NewBody(Kind(s.kind))
		if body == nil {
			t.Errorf("docs/events.md has a section of %q, which is no kind", s.kind)
			continue
		}
		documented[body.Kind()] = true
		if diff := cmp.Diff(tables(reflect.TypeOf(body).Elem()), s.tables); diff != "" {
			t.Errorf("%s (-types +docs):\n%s", s.kind, diff)
		}
	}
	for i, k := range Kinds() {
		switch {
		case !documented[k]:
			t.Errorf("docs/events.md has no section of %s", k)
		case ss[i].kind != string(k):
			t.Errorf("section %d is of %s, want %s: the order is that of Kinds", i, ss[i].kind, k)
		}
	}
}

// The examples are what would be logged.
func TestExamples(t *testing.T) {
	for _, s := range sections(t)[1:] {
		var e Event
		if err := json.Unmarshal([]byte(s.example), &e); err != nil {
			t.Errorf("%s: %v in the example %s", s.kind, err, s.example)
			continue
		}
		b, err := json.Marshal(e)
		if err != nil {
			t.Errorf("%s: %v", s.kind, err)
		}
		if diff := cmp.Diff(s.example, string(b)); diff != "" || e.Kind() != Kind(s.kind) {
			t.Errorf("%s: the example is encoded as (-want +got):\n%s", s.kind, diff)
		}
	}
}

// fill sets v, and everything in it, to values that are not zero.
func fill(v reflect.Value, n *int) {
	*n++
	switch x := v.Addr().Interface().(type) {
	case *time.Time:
		*x = time.Date(2026, 1, 2, 3, 4, *n, 5, time.UTC)
		return
	case *netip.AddrPort:
		*x = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 1}), uint16(*n))
		return
	case *Side:
		*x = Server
		return
	case *State:
		*x = StateListen
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
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
		v.SetString(strings.Repeat("x<>&\u2028\"\x00", 1+*n%3))
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(*n % 256))
	default:
		panic("no value for " + v.Type().String())
	}
}

// filled returns an event of each kind with all fields set.
func filled() []Event {
	var es []Event
	n := 0
	for _, k := range Kinds() {
		body := NewBody(k)
		fill(reflect.ValueOf(body).Elem(), &n)
		es = append(es, Event{
			Time: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), T: 7 * time.Millisecond,
			Conn: 1<<63 + 1, N: 9, View: Endpoint, From: Server, Body: body,
		})
	}
	return es
}
