package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// An Error is one mistake in a configuration, and where it stands.
type Error struct {
	File      string // empty if the value is not from a file
	Line, Col int    // from 1; set if File is, and 0 if the file as a whole is meant
	Flag      string // "--mtu", if the value is from a flag
	Key       string // "tun.mtu", if it is of one key
	Msg       string // what is wrong
	Hint      string // what to do about it; may be empty
}

// Error returns one line: "file:line:col: key: what; hint". In place of the
// position stands the flag, if the value is from one, and nothing, if it is from
// neither.
func (e *Error) Error() string {
	var b strings.Builder
	switch {
	case e.File != "" && e.Line > 0:
		fmt.Fprintf(&b, "%s:%d:%d: ", e.File, e.Line, e.Col)
	case e.File != "":
		fmt.Fprintf(&b, "%s: ", e.File)
	case e.Flag != "":
		fmt.Fprintf(&b, "%s: ", e.Flag)
	}
	if e.Key != "" && e.Flag == "" {
		fmt.Fprintf(&b, "%s: ", e.Key)
	}
	b.WriteString(e.Msg)
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	return b.String()
}

// Errors is all mistakes of a configuration, in the order of the file. There is
// at least one.
type Errors []*Error

// Error returns the errors, one on a line.
func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the errors for [errors.As].
func (es Errors) Unwrap() []error {
	errs := make([]error, len(es))
	for i, e := range es {
		errs[i] = e
	}
	return errs
}

// maxErrors bounds how many mistakes are told at once.
const maxErrors = 20

// orNil returns the errors in the order of the file, or nil if there are none.
func (es Errors) orNil() error {
	if len(es) == 0 {
		return nil
	}
	slices.SortStableFunc(es, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	if more := len(es) - maxErrors; more > 0 {
		es = append(es[:maxErrors:maxErrors], &Error{File: es[0].File, Msg: fmt.Sprintf("and %d more errors", more)})
	}
	return es
}

// An origin is where a value was read: a position in a file, or a flag.
type origin struct {
	file      string
	line, col int
	flag      string
}

// Errorf returns an error about the value of a key, such as "tun.mtu" or
// "services[2].service", at the place where the value was read, or the nearest
// value around it if it was not given. It is for those who use a value and find
// more wrong with it than [Config.Validate] can.
func (c *Config) Errorf(key, format string, args ...any) *Error {
	o := c.origin(key)
	return &Error{File: o.file, Line: o.line, Col: o.col, Flag: o.flag, Key: key, Msg: fmt.Sprintf(format, args...)}
}

// origin returns where the key, or else the nearest key around it, was read.
// The file itself is the key "".
func (c *Config) origin(key string) origin {
	for {
		if o, ok := c.origins[key]; ok || key == "" {
			return o
		}
		key = key[:max(strings.LastIndexAny(key, ".["), 0)]
	}
}

// quote quotes a value of the file for an error message, cut to a bearable
// length.
func quote(s string) string {
	const longest = 60 // bytes
	if len(s) > longest {
		return fmt.Sprintf("%q…", strings.ToValidUTF8(s[:longest], ""))
	}
	return fmt.Sprintf("%q", s)
}
