package diff

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// maxValues bounds how many values of a list are compared; a peer may send
// tens of thousands. The rest is counted in the last value.
const maxValues = 1024

// names are the values of a list, with all that RFC 8701 reserves as one.
func names[T fmt.Stringer](vs []T) []string {
	ns := make([]string, 0, min(len(vs), maxValues+1))
	for i, v := range vs {
		if i == maxValues {
			return append(ns, fmt.Sprintf("%d more", len(vs)-maxValues))
		}
		n := v.String()
		if strings.HasPrefix(n, "GREASE (") {
			n = "GREASE"
		}
		ns = append(ns, n)
	}
	return ns
}

// A verbatim value is its own name.
type verbatim string

func (v verbatim) String() string { return string(v) }

// texts are names of values that are text already.
func texts(vs []string) []string {
	ns := make([]verbatim, len(vs))
	for i, v := range vs {
		ns[i] = verbatim(v)
	}
	return names(ns)
}

// numbers are names of values that are shown as numbers.
func numbers[T ~uint8 | ~uint16](vs []T) []string {
	ns := make([]verbatim, len(vs))
	for i, v := range vs {
		ns[i] = verbatim(strconv.Itoa(int(v)))
	}
	return names(ns)
}

// The values of fields that are no lists: nothing where they are absent.

func one(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

func yes(set bool) []string {
	if !set {
		return nil
	}
	return []string{"yes"}
}

func amount[N ~int | ~uint16 | ~uint64](n N, unit string) []string {
	if n == 0 {
		return nil
	}
	return one(strings.TrimSpace(fmt.Sprintf("%d %s", n, unit)))
}

// code is a registered value whose zero means that it is absent.
func code[T interface {
	comparable
	fmt.Stringer
}](v T) []string {
	if v == *new(T) {
		return nil
	}
	return names([]T{v})
}

func date(t time.Time) []string {
	if t.IsZero() {
		return nil
	}
	return one(t.UTC().Format(time.DateTime + " UTC"))
}

// value compares single values.
func value(name string, a, b []string) Field { return compare(Field{Name: name, A: a, B: b}) }

// list compares lists: which values only one has, and whether those that both
// have stand in the same order. A value that stands more than once counts as
// often.
func list(name string, a, b []string) Field {
	return compare(Field{Name: name, List: true, A: a, B: b})
}

func compare(f Field) Field {
	onlyA, commonA := without(f.A, f.B)
	onlyB, commonB := without(f.B, f.A)
	f.OnlyA, f.OnlyB = onlyA, onlyB
	for i := range commonA { // of the same length: the same values as often
		f.Reordered = f.Reordered || commonA[i] != commonB[i]
	}
	return f
}

// without splits the values of a into those that are not in b and those that
// are.
func without(a, b []string) (only, common []string) {
	have := make(map[string]int, len(b))
	for _, v := range b {
		have[v]++
	}
	for _, v := range a {
		if have[v] > 0 {
			have[v]--
			common = append(common, v)
		} else {
			only = append(only, v)
		}
	}
	return only, common
}
