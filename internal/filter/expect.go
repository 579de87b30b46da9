package filter

import (
	"fmt"
	"reflect"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"synscope/event"
)

// An Expectation is a compiled expression over the connections of a run. It may
// be shared between goroutines.
type Expectation struct {
	schema  *schema
	program cel.Program
}

// CompileExpectation compiles an expression over the variable conns, a list of
// connections: conns.exists(c, c.alert == "unknown_ca"). An error is an
// [Errors], which tells every mistake that was found.
func CompileExpectation(expr string) (*Expectation, error) {
	s, err := newSchema()
	if err != nil {
		return nil, err
	}
	program, _, err := s.compile(expr, []string{connsVar}, []cel.EnvOption{
		cel.Variable(connsVar, types.NewListType(s.summary.cel)),
	})
	if err != nil {
		return nil, err
	}
	return &Expectation{schema: s, program: program}, nil
}

// Met reports whether the expectation is met. The error says why it could not be
// decided: it asks for more connections than there are, or takes too many steps.
func (x *Expectation) Met(conns []event.Summary) (bool, error) {
	rows := make([]ref.Val, len(conns))
	for i := range conns {
		rows[i] = &object{typ: x.schema.summary, v: reflect.ValueOf(&conns[i]).Elem()}
	}
	out, _, err := x.program.Eval(map[string]any{connsVar: types.NewRefValList(x.schema, rows)})
	if err != nil {
		return false, fmt.Errorf("expectation: %w", err)
	}
	return out.Value() == true, nil
}
