package config

import (
	"encoding"
	"fmt"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"

	"synscope/internal/nearest"
)

// A valueError says what a value should have been. It does not repeat the
// value: whoever knows where it stood does.
type valueError struct {
	want string // "an integer"
	hint string // what to write instead; may be empty
}

func (e *valueError) Error() string {
	if e.hint == "" {
		return "want " + e.want
	}
	return "want " + e.want + "; " + e.hint
}

// setText parses text into the value that p points to. It is the one parser of
// scalars, for the file and for flags. An error is a *valueError.
func setText(p any, text string) error {
	switch p := p.(type) {
	case *string:
		*p = text
	case *bool:
		if text != "true" && text != "false" {
			return &valueError{want: "true or false"}
		}
		*p = text == "true"
	case *int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return &valueError{want: "an integer"}
		}
		*p = n
	case *time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil {
			return durationError(text)
		}
		*p = d
	case *netip.Prefix:
		return setPrefix(p, text)
	case encoding.TextUnmarshaler:
		return p.UnmarshalText([]byte(text))
	default:
		panic(fmt.Sprintf("config: no text form for %T", p)) // a setting of a new type
	}
	return nil
}

// durationError is the error for a text that is not a duration, with a hint if
// only the unit is missing.
func durationError(text string) error {
	e := &valueError{want: "a duration such as 30s or 5m"}
	if _, err := strconv.Atoi(text); err == nil && len(text) < 10 {
		e.hint = fmt.Sprintf("did you mean %q?", text+"s")
	}
	return e
}

// setPrefix parses a prefix, or an address as the prefix of it alone.
func setPrefix(p *netip.Prefix, text string) error {
	prefix, err := netip.ParsePrefix(text)
	if addr, errAddr := netip.ParseAddr(text); errAddr == nil && addr.Zone() == "" {
		prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	switch {
	case err != nil:
		return &valueError{want: "an address or a prefix such as 198.18.0.0/15 or 2001:2::/48"}
	case prefix.Addr().Is4In6():
		return &valueError{want: "an IPv4 address in dotted form", hint: "the stack never sees IPv4-mapped addresses"}
	}
	*p = prefix
	return nil
}

// setName sets *v to the one of values whose text is text.
func setName[T comparable](v *T, text, want string, values ...T) error {
	names := make([]string, len(values))
	for i, value := range values {
		names[i] = fmt.Sprint(value)
		if names[i] == text {
			*v = value
			return nil
		}
	}
	if len(names) <= 4 {
		return &valueError{want: want + " (" + strings.Join(names, ", ") + ")"}
	}
	return &valueError{want: want, hint: nearest.Suggest(text, names)}
}

// text is the inverse of setText; a list is joined by commas.
func text(v reflect.Value) string {
	if v.Kind() != reflect.Slice {
		return fmt.Sprint(v.Interface())
	}
	items := make([]string, v.Len())
	for i := range items {
		items[i] = text(v.Index(i))
	}
	return strings.Join(items, ",")
}
