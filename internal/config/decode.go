package config

import (
	"encoding"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"synscope/internal/nearest"
)

const (
	// maxTokens bounds the tokens of a file: the parser's time is quadratic in
	// the entries of a mapping.
	maxTokens = 1 << 15
	// maxNesting bounds the depth of brackets, and of list entries opened on
	// one line: the parser recurses, and its time is quadratic in it. No key
	// stands deeper than four.
	maxNesting = 8
	// MaxEntries is the number of entries of the longest list. Rules are tried
	// one after the other for each connection.
	MaxEntries = 1024
)

// Parse parses data over the defaults. The name stands for the file in errors. It
// tells every unknown key, wrong type and bad value, as [Errors], but it does not
// hold values against each other: see [Config.Validate].
func Parse(name string, data []byte) (*Config, error) {
	c := Default()
	c.origins = map[string]origin{"": {file: name, line: 1, col: 1}}
	root, err := parseYAML(name, data)
	if err != nil {
		return nil, Errors{err}
	}
	d := decoder{config: c, file: name}
	if root != nil {
		d.decode(root, reflect.ValueOf(c).Elem(), "")
	}
	if err := d.errs.orNil(); err != nil {
		return nil, err
	}
	return c, nil
}

// parseYAML parses the one document of a file; nil if it is empty.
func parseYAML(name string, data []byte) (ast.Node, *Error) {
	if len(data) > MaxFileSize {
		return nil, &Error{File: name, Msg: fmt.Sprintf("larger than %d bytes", MaxFileSize)}
	}
	if !utf8.Valid(data) {
		line, col := invalidUTF8(data)
		return nil, &Error{File: name, Line: line, Col: col, Msg: "not UTF-8"}
	}
	tokens := lexer.Tokenize(string(data))
	if err := checkTokens(tokens); err != nil {
		err.File = name
		return nil, err
	}
	file, err := parser.Parse(tokens, 0)
	if err != nil {
		return nil, syntaxError(name, err)
	}
	var root ast.Node
	for i, doc := range file.Docs {
		if i > 0 {
			e := &Error{File: name, Line: 1, Col: 1, Msg: "more than one document"}
			if doc.Start != nil {
				e.Line, e.Col = doc.Start.Position.Line, doc.Start.Position.Column
			}
			return nil, e
		}
		root = doc.Body
	}
	return root, nil
}

// invalidUTF8 returns the position of the first byte that is not UTF-8.
func invalidUTF8(data []byte) (line, col int) {
	line, col = 1, 1
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		if r == utf8.RuneError && size == 1 {
			break
		}
		col++
		if r == '\n' {
			line, col = line+1, 1
		}
		data = data[size:]
	}
	return line, col
}

// checkTokens refuses what the parser should not see: more than it can take in
// bearable time, and the parts of YAML that a configuration does not need.
func checkTokens(tokens token.Tokens) *Error {
	at := func(t *token.Token, msg, hint string) *Error {
		return &Error{Line: t.Position.Line, Col: t.Position.Column, Msg: msg, Hint: hint}
	}
	var line, opened, brackets int
	for i, t := range tokens {
		if t.Position.Line != line {
			line, opened = t.Position.Line, 0
		}
		switch t.Type {
		case token.AnchorType, token.MergeKeyType:
			return at(t, "anchors are not supported", "repeat the value")
		case token.AliasType:
			return at(t, "aliases are not supported", `quote a value that begins with *, as in "*.example.com"`)
		case token.TagType, token.DirectiveType:
			return at(t, "tags and directives are not supported", "")
		case token.SequenceStartType, token.MappingStartType:
			brackets++
		case token.SequenceEndType, token.MappingEndType:
			brackets--
		case token.SequenceEntryType, token.MappingKeyType:
			opened++
		}
		if brackets > maxNesting || opened > maxNesting {
			return at(t, fmt.Sprintf("nested more than %d deep", maxNesting), "")
		}
		if i >= maxTokens {
			return at(t, fmt.Sprintf("more than %d tokens", maxTokens), "")
		}
	}
	return nil
}

// syntaxError turns an error of the YAML parser into one of ours: its own text
// has many lines.
func syntaxError(name string, err error) *Error {
	e := &Error{File: name, Msg: err.Error()}
	var y yaml.Error
	if errors.As(err, &y) {
		e.Msg = y.GetMessage()
		if t := y.GetToken(); t != nil {
			e.Line, e.Col = t.Position.Line, t.Position.Column
		}
	}
	e.Msg, _, _ = strings.Cut(e.Msg, "\n")
	e.Msg = strings.Map(func(r rune) rune { // it may quote the file
		if unicode.IsPrint(r) {
			return r
		}
		return utf8.RuneError
	}, e.Msg)
	return e
}

// A decoder sets the fields of a Config from a document, and collects what is
// wrong with it.
type decoder struct {
	config *Config
	file   string
	errs   Errors
}

// fail tells of a mistake at a node.
func (d *decoder) fail(node ast.Node, key, msg, hint string) {
	p := start(node)
	d.errs = append(d.errs, &Error{File: d.file, Line: p.Line, Col: p.Column, Key: key, Msg: msg, Hint: hint})
}

// start returns where a node begins. The token of a mapping is its first colon.
func start(node ast.Node) *token.Position {
	if m, ok := node.(ast.MapNode); ok {
		if it := m.MapRange(); it.Next() {
			return it.Key().GetToken().Position
		}
	}
	return node.GetToken().Position
}

// decode sets v, the value of key, from a node.
func (d *decoder) decode(node ast.Node, v reflect.Value, key string) {
	if key != "" {
		p := start(node)
		d.config.origins[key] = origin{file: d.file, line: p.Line, col: p.Column}
	}
	switch {
	case isScalar(v.Type()):
		d.scalar(node, v, key)
	case v.Kind() == reflect.Slice:
		d.list(node, v, key)
	default:
		d.mapping(node, v, key)
	}
}

// isScalar reports whether setText parses values of type t.
func isScalar(t reflect.Type) bool {
	if t.Kind() != reflect.Struct && t.Kind() != reflect.Slice {
		return true
	}
	return t == reflect.TypeFor[netip.Prefix]() || reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

func (d *decoder) mapping(node ast.Node, v reflect.Value, key string) {
	if node.Type() == ast.NullType {
		return // a section whose every key is commented out
	}
	m, ok := node.(ast.MapNode)
	if !ok {
		d.fail(node, key, "want a mapping, not "+describe(node), "")
		return
	}
	fields := map[string]int{}
	var names []string
	for i := range v.NumField() {
		if name := v.Type().Field(i).Tag.Get("yaml"); name != "" {
			fields[name] = i
			names = append(names, name)
		}
	}
	for it := m.MapRange(); it.Next(); {
		name := it.Key().GetToken().Value
		i, ok := fields[name]
		if !ok {
			d.fail(it.Key(), key, "unknown key "+quote(name), nearest.Suggest(name, names))
			continue
		}
		d.decode(it.Value(), v.Field(i), strings.TrimPrefix(key+"."+name, "."))
	}
}

// list sets a slice from a list, or from one scalar as the list of it.
func (d *decoder) list(node ast.Node, v reflect.Value, key string) {
	var items []ast.Node
	switch s, isList := node.(*ast.SequenceNode); {
	case isList:
		items = s.Values
	case node.Type() == ast.NullType:
		return // a list whose every entry is commented out
	case isScalar(v.Type().Elem()) && node.Type() != ast.MappingType:
		items = []ast.Node{node}
	default:
		d.fail(node, key, "want a list, not "+describe(node), "")
		return
	}
	if len(items) > MaxEntries {
		d.fail(node, key, fmt.Sprintf("more than %d entries", MaxEntries), "")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
	for i, item := range items {
		d.decode(item, v.Index(i), fmt.Sprintf("%s[%d]", key, i))
	}
}

func (d *decoder) scalar(node ast.Node, v reflect.Value, key string) {
	text, ok := scalarText(node)
	if !ok {
		d.fail(node, key, "want one value, not "+describe(node), "")
		return
	}
	err := setText(v.Addr().Interface(), text)
	var bad *valueError
	if errors.As(err, &bad) {
		d.fail(node, key, "want "+bad.want+", not "+quote(text), bad.hint)
	}
}

// scalarText returns what a scalar says, as it was written: 1.20 is "1.20".
// Quotes make no difference.
func scalarText(node ast.Node) (text string, ok bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// describe names what a node is.
func describe(node ast.Node) string {
	if text, ok := scalarText(node); ok {
		return quote(text)
	}
	switch node.(type) {
	case *ast.NullNode:
		return "nothing"
	case *ast.SequenceNode:
		return "a list"
	case ast.MapNode:
		return "a mapping"
	}
	return node.Type().YAMLName()
}
