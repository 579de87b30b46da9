package config

import (
	"encoding"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// sameConfig compares configurations by their values, not by where they stood.
var sameConfig = cmp.Options{
	cmpopts.IgnoreUnexported(Config{}),
	cmpopts.EquateComparable(netip.Prefix{}),
	cmpopts.EquateEmpty(),
}

func TestDefaultIsValid(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Error(err)
	}
}

func TestExampleLoads(t *testing.T) {
	c, err := Load("testdata/example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys(reflect.TypeFor[Config](), "") {
		// An entry of a list stands for all.
		given := false
		for k := range c.origins {
			given = given || indices.Replace(k) == key
		}
		if !given {
			t.Errorf("the example does not show the key %s", key)
		}
	}

	// Apart from its rules, the example shows the defaults.
	c.Services, c.Accept = nil, nil
	if diff := cmp.Diff(Default(), c, sameConfig); diff != "" {
		t.Errorf("the example differs from the defaults (-default +example):\n%s", diff)
	}
}

// indices removes the indices that the example has from a key.
var indices = strings.NewReplacer("[0]", "", "[1]", "", "[2]", "")

// keys returns every key of a type that has a value of its own, those of rules
// included, from the tags of its fields.
func keys(t reflect.Type, prefix string) (all []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("yaml")
		if name == "" {
			continue
		}
		elem := f.Type
		if elem.Kind() == reflect.Slice {
			elem = elem.Elem()
		}
		isText := reflect.PointerTo(elem).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
		if elem.Kind() == reflect.Struct && !isText {
			all = append(all, keys(elem, prefix+name+".")...)
		} else {
			all = append(all, prefix+name)
		}
	}
	return all
}

// isRule reports whether a key is one of the rules, which have no flag.
func isRule(key string) bool {
	return strings.HasPrefix(key, "services.") || strings.HasPrefix(key, "accept.")
}

func TestEveryKeyHasItsFlag(t *testing.T) {
	want := map[string]bool{}
	for _, key := range keys(reflect.TypeFor[Config](), "") {
		if !isRule(key) {
			want[key] = true
		}
	}
	flags := map[string]string{}
	c := Default()
	for _, s := range settings {
		if !want[s.key] {
			t.Errorf("--%s has the key %s, which the file does not have or another flag has", s.flag, s.key)
		}
		delete(want, s.key)
		if other, ok := flags[s.flag]; ok {
			t.Errorf("--%s has two keys, %s and %s", s.flag, other, s.key)
		}
		flags[s.flag] = s.key

		// The key and the field are the same value.
		field := reflect.ValueOf(c).Elem()
		for name := range strings.SplitSeq(s.key, ".") {
			field = field.FieldByNameFunc(func(f string) bool {
				sf, _ := field.Type().FieldByName(f)
				return sf.Tag.Get("yaml") == name
			})
		}
		if field.Addr().Interface() != s.field(c) {
			t.Errorf("the setting %s has another field than the key", s.key)
		}
	}
	for key := range want {
		t.Errorf("the key %s has no flag", key)
	}
}

func TestEveryKeyIsDocumented(t *testing.T) {
	b, err := os.ReadFile("../../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(b)
	for _, s := range settings {
		row := "| `" + s.key + "` | `--" + s.flag + "` |"
		_, rest, ok := strings.Cut(doc, row)
		if !ok {
			t.Errorf("docs/config.md has no row %q", row)
			continue
		}
		row, _, _ = strings.Cut(rest, "\n")
		if def := text(s.value(Default())); def != "" && !strings.Contains(row, "| `"+def+"` |") {
			t.Errorf("docs/config.md does not tell the default of %s, %s: %s", s.key, def, row)
		}
		if restart := strings.HasSuffix(row, "| restart |"); restart != s.restart {
			t.Errorf("docs/config.md tells wrongly whether %s needs a restart", s.key)
		}
	}
	for _, key := range keys(reflect.TypeFor[Config](), "") {
		if row := "| `" + key + "` |"; isRule(key) && !strings.Contains(key, ".tls.") && !strings.Contains(doc, row) {
			t.Errorf("docs/config.md has no row %q", row)
		}
	}
}
