package filter

import (
	"fmt"
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"synscope/event"
	"synscope/internal/nearest"
)

// check finds what the types of CEL do not tell: a field that no kind of event
// has where the kind decides what a value is, a value that a field never has,
// and an expression that is neither true nor false.
func (t *teller) check(checked *cel.Ast) Errors {
	var es Errors
	tree := checked.NativeRep()
	fail := func(e ast.Expr) *Error {
		at := tree.SourceInfo().GetStartLocation(e.ID())
		es = append(es, &Error{Line: at.Line(), Col: at.Column() + 1, source: t.source})
		return es[len(es)-1]
	}
	ast.PreOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.SelectKind:
			sel := e.AsSelect()
			if len(t.schema.typesOf(sel.Operand())) > 1 && !slices.Contains(t.schema.fieldsOf(sel.Operand()), sel.FieldName()) {
				t.field(fail(e), sel.FieldName(), e)
			}
		case ast.CallKind:
			for field, literal := range comparisons(e.AsCall()) {
				name, value, ok := t.schema.neverHas(tree, field, literal)
				if ok {
					err := fail(literal)
					err.Msg = fmt.Sprintf("%s is never %q", name, value)
					err.Hint = nearest.Suggest(value, values[field.AsSelect().FieldName()])
				}
			}
		}
	}))
	if typ := checked.OutputType(); es == nil && !typ.IsExactType(types.BoolType) {
		es = Errors{{Msg: fmt.Sprintf("want an expression that is true or false, not one of type %s", cel.FormatCELType(typ)), source: t.source}}
	}
	return es
}

// values are the fields of an event that have few values, and these.
var values = map[string][]string{
	"kind": kinds(),
	"view": {string(event.Wire), string(event.Endpoint)},
	"from": {event.Client.String(), event.Server.String(), event.NoSide.String()},
}

func kinds() []string {
	var names []string
	for _, k := range event.Kinds() {
		names = append(names, string(k))
	}
	return names
}

// neverHas reports whether an expression is a field of an event that never has
// the value of a literal, and returns both.
func (s *schema) neverHas(tree *ast.AST, field, literal ast.Expr) (name, value string, ok bool) {
	if field.Kind() != ast.SelectKind || literal.Kind() != ast.LiteralKind {
		return "", "", false
	}
	sel := field.AsSelect()
	if !tree.GetType(sel.Operand().ID()).IsExactType(s.event.cel) {
		return "", "", false
	}
	name = eventVar
	if sel.Operand().Kind() == ast.IdentKind {
		name = sel.Operand().AsIdent() // that of a macro may be another
	}
	value, isString := literal.AsLiteral().Value().(string)
	all := values[sel.FieldName()]
	return name + "." + sel.FieldName(), value, isString && all != nil && !slices.Contains(all, value)
}

// comparisons yields the pairs of expressions that a call compares.
func comparisons(call ast.CallExpr) func(yield func(a, b ast.Expr) bool) {
	return func(yield func(a, b ast.Expr) bool) {
		args := call.Args()
		switch call.FunctionName() {
		case operators.Equals, operators.NotEquals:
			_ = yield(args[0], args[1]) && yield(args[1], args[0])
		case operators.In:
			if args[1].Kind() != ast.ListKind {
				return
			}
			for _, elem := range args[1].AsList().Elements() {
				if !yield(args[0], elem) {
					return
				}
			}
		}
	}
}

// find returns the part of an expression that has an ID, or nil.
func find(tree *ast.AST, id int64) (found ast.Expr) {
	ast.PreOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.ID() == id {
			found = e
		}
	}))
	return found
}

// typesOf returns the types that a part of an expression may have, as far as
// that follows from the fields it is reached by.
func (s *schema) typesOf(e ast.Expr) []*types.Type {
	switch e.Kind() {
	case ast.IdentKind:
		if e.AsIdent() == eventVar {
			return []*types.Type{s.event.cel}
		}
		if f := s.summary.fields[e.AsIdent()]; f != nil {
			return f.kinds
		}
	case ast.SelectKind:
		sel := e.AsSelect()
		var kinds []*types.Type
		for _, typ := range s.typesOf(sel.Operand()) {
			if t := s.structs[typ.TypeName()]; t != nil && t.fields[sel.FieldName()] != nil {
				kinds = append(kinds, t.fields[sel.FieldName()].kinds...)
			}
		}
		return kinds
	}
	return nil
}

// fieldsOf returns the names of the fields of an object. Where it is not known
// which it is, as in a macro, they are those of all.
func (s *schema) fieldsOf(e ast.Expr) []string {
	var names []string
	for _, typ := range s.typesOf(e) {
		names = append(names, s.fieldsOfType(typ)...)
	}
	if names == nil {
		for _, t := range s.structs {
			names = append(names, t.names...)
		}
		slices.Sort(names) // so that of two that are as near the same is taken each time
	}
	return names
}

func (s *schema) fieldsOfType(typ *types.Type) []string {
	if t := s.structs[typ.TypeName()]; t != nil {
		return t.names
	}
	return nil
}
