package filter

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"

	"synscope/event"
)

// An Expectation is a compiled expression over a run: over its connections and
// events together, or over one connection at a time. It may be shared between
// goroutines.
type Expectation struct {
	schema   *schema
	program  cel.Program
	ofRun    bool
	timeline bool
	fields   []path
}

// A path is the names by which a field of a connection is reached.
type path []string

// CompileExpectation compiles an expression either over a run, with the
// variables conns, a list of its connections, and timeline, a list of its
// events:
//
//	conns.exists(c, c.alert == "unknown_ca")
//
// or over a connection, whose fields are the variables, as they are in a
// [Filter]:
//
//	tls.version == "TLS 1.3" && !tls.resumed
//
// An error is an [Errors], which tells every mistake that was found.
func CompileExpectation(expr string) (*Expectation, error) {
	s, err := newSchema()
	if err != nil {
		return nil, err
	}
	vars := []cel.EnvOption{
		cel.Variable(connsVar, types.NewListType(s.summary.cel)),
		cel.Variable(timelineVar, types.NewListType(s.event.cel)),
	}
	for _, name := range s.summary.names {
		vars = append(vars, cel.Variable(name, s.summary.fields[name].typ))
	}
	program, tree, err := s.compile(expr, append([]string{connsVar, timelineVar}, s.summary.names...), vars, maxRunCost)
	if err != nil {
		return nil, err
	}
	x := &Expectation{schema: s, program: program}
	var ofConn ast.Expr // a variable of one connection
	ast.PreOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() == ast.IdentKind {
			switch name := e.AsIdent(); {
			case name == connsVar, name == timelineVar:
				x.ofRun = true
				x.timeline = x.timeline || name == timelineVar
			case s.summary.fields[name] != nil && ofConn == nil:
				ofConn = e
			}
		}
		if p := s.pathOf(tree, e); p != nil && !slices.ContainsFunc(x.fields, func(q path) bool { return slices.Equal(p, q) }) {
			x.fields = append(x.fields, p)
		}
	}))
	if x.ofRun && ofConn != nil {
		at := tree.SourceInfo().GetStartLocation(ofConn.ID())
		return nil, Errors{{
			Line: at.Line(), Col: at.Column() + 1, source: strings.Split(expr, "\n"),
			Msg:  fmt.Sprintf("%q is of one connection, and %s and %s are of the run", ofConn.AsIdent(), connsVar, timelineVar),
			Hint: "write conns.all(c, …), or two expectations",
		}}
	}
	return x, nil
}

// pathOf returns how a part of an expression is reached from a connection, nil
// if it is no field of one, or has fields itself.
func (s *schema) pathOf(tree *ast.AST, e ast.Expr) path {
	if s.structs[tree.GetType(e.ID()).TypeName()] != nil {
		return nil
	}
	var p path
	for e.Kind() == ast.SelectKind {
		sel := e.AsSelect()
		p = append(p, sel.FieldName())
		e = sel.Operand()
		if tree.GetType(e.ID()).IsExactType(s.summary.cel) {
			slices.Reverse(p)
			return p
		}
	}
	if e.Kind() != ast.IdentKind || s.summary.fields[e.AsIdent()] == nil {
		return nil
	}
	p = append(p, e.AsIdent())
	slices.Reverse(p)
	return p
}

// OfRun reports whether the expectation is over a run, for Met, and not over one
// connection, for MetBy.
func (x *Expectation) OfRun() bool { return x.ofRun }

// Timeline reports whether the expectation looks at the events of the run.
func (x *Expectation) Timeline() bool { return x.timeline }

// Met reports whether a run meets the expectation. The error says why that could
// not be decided: something that the expression needs is missing, as the third
// of two connections or a field that no event has, or it takes too many steps.
// The timeline may be nil if the expectation does not look at it.
func (x *Expectation) Met(conns []*event.Summary, timeline []*event.Event) (bool, error) {
	rows := make([]ref.Val, len(conns))
	for i, c := range conns {
		rows[i] = &object{typ: x.schema.summary, v: reflect.ValueOf(c).Elem()}
	}
	events := make([]ref.Val, len(timeline))
	for i, e := range timeline {
		events[i] = &object{typ: x.schema.event, v: reflect.ValueOf(e.Body).Elem(), event: e}
	}
	return x.eval(map[string]any{
		connsVar:    types.NewRefValList(x.schema, rows),
		timelineVar: types.NewRefValList(x.schema, events),
	})
}

// MetBy reports whether a connection meets the expectation. The error is as that
// of Met.
func (x *Expectation) MetBy(s *event.Summary) (bool, error) {
	r := &row{event: object{typ: x.schema.event}, conn: object{typ: x.schema.summary}}
	r.set(nil, s)
	return x.eval(r)
}

func (x *Expectation) eval(vars any) (bool, error) {
	out, _, err := x.program.Eval(vars)
	if cancelled := (interpreter.EvalCancelledError{}); errors.As(err, &cancelled) {
		return false, errors.New("it takes too many steps")
	}
	if err != nil {
		return false, err
	}
	return out.Value() == true, nil
}

// A Value is a field of a connection and what it is, as an expression writes
// both.
type Value struct {
	Field string // "tls.version"
	Text  string // "\"TLS 1.2\""; in ASCII, but of any length
}

// Values returns the fields that the expectation asks for, of one connection, in
// the order in which it does so.
func (x *Expectation) Values(s *event.Summary) []Value {
	var vs []Value
	for _, p := range x.fields {
		o := &object{typ: x.schema.summary, v: reflect.ValueOf(s).Elem()}
		var v ref.Val = o
		for _, name := range p {
			if o, ok := v.(*object); ok {
				v = o.Get(types.String(name))
			}
		}
		vs = append(vs, Value{strings.Join(p, "."), text(v)})
	}
	return vs
}

func text(v ref.Val) string {
	switch v := v.Value().(type) {
	case string:
		return strconv.QuoteToASCII(v)
	case time.Time:
		return v.Format(time.RFC3339Nano)
	default:
		return fmt.Sprint(v)
	}
}
