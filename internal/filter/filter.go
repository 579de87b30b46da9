package filter

import (
	"errors"
	"fmt"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/interpreter"

	"synscope/event"
)

// The variables that are not fields of the connection.
const (
	eventVar    = "event"    // of a Filter
	connsVar    = "conns"    // of an Expectation
	timelineVar = "timeline" // of an Expectation
)

// The bounds of an expression.
const (
	maxRunes  = 8192    // its length
	maxNodes  = 4096    // its parts, with those that macros expand to
	maxDepth  = 64      // its nesting
	maxRegexp = 1000    // instructions of a regular expression
	maxCost   = 100_000 // steps of one evaluation with loops, as CEL counts them

	maxRunCost = 10_000_000 // the same of an Expectation, which is evaluated once
)

// A Filter is a compiled expression over an event and its connection. It may be
// shared between goroutines.
type Filter struct {
	schema  *schema
	program cel.Program
	event   bool // it uses the event
	conn    bool // it uses the connection
}

// Compile compiles an expression. An error is an [Errors], which tells every
// mistake that was found.
func Compile(expr string) (*Filter, error) {
	s, err := newSchema()
	if err != nil {
		return nil, err
	}
	vars := []cel.EnvOption{cel.Variable(eventVar, s.event.cel)}
	for _, name := range s.summary.names {
		vars = append(vars, cel.Variable(name, s.summary.fields[name].typ))
	}
	names := append([]string{eventVar}, s.summary.names...)
	program, tree, err := s.compile(expr, names, vars, maxCost)
	if err != nil {
		return nil, err
	}
	f := &Filter{schema: s, program: program}
	for _, r := range tree.ReferenceMap() {
		f.event = f.event || r.Name == eventVar
		f.conn = f.conn || s.summary.fields[r.Name] != nil
	}
	return f, nil
}

// compile compiles an expression that is true or false. The names are those of
// the variables, and the cost bounds an evaluation with loops.
func (s *schema) compile(expr string, names []string, vars []cel.EnvOption, cost uint64) (cel.Program, *ast.AST, error) {
	env, err := cel.NewEnv(append(vars,
		cel.CustomTypeProvider(s), cel.CustomTypeAdapter(s),
		cel.ParserExpressionSizeLimit(maxRunes), cel.ParserRecursionLimit(maxDepth),
		cel.ExpressionNodeLimit(maxNodes), cel.RegexProgramSizeLimit(maxRegexp),
		cel.ASTValidators(cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(), cel.ValidateRegexLiterals()),
	)...)
	if err != nil {
		return nil, nil, fmt.Errorf("filter: %w", err)
	}
	t := &teller{schema: s, source: strings.Split(expr, "\n"), vars: names}
	parsed, issues := env.Parse(expr)
	if issues.Err() != nil {
		return nil, nil, t.errors(issues, nil)
	}
	checked, issues := env.Check(parsed)
	if issues.Err() != nil {
		return nil, nil, t.errors(issues, parsed.NativeRep())
	}
	if errs := t.check(checked); errs != nil {
		return nil, nil, errs
	}
	options := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize)}
	if loops(checked.NativeRep()) { // counting takes three times as long as what is counted
		options = append(options, cel.CostLimit(cost))
	}
	program, err := env.Program(checked, options...)
	if err != nil {
		return nil, nil, Errors{{Msg: err.Error()}}
	}
	return program, checked.NativeRep(), nil
}

// loops reports whether an expression has a part that is evaluated more than
// once. Any other takes no more steps than it has parts.
func loops(tree *ast.AST) (loops bool) {
	ast.PreOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		loops = loops || e.Kind() == ast.ComprehensionKind
	}))
	return loops
}

// A verdict is what an expression says of an event.
type verdict uint8

const (
	no        verdict = iota
	yes               // it matches
	undecided         // it has no value: something it needs is missing
	costly            // it was given up
)

// decide evaluates the expression. The summary is nil where the connection is
// not known, or not yet: a verdict of yes or no is then that of any connection.
func (f *Filter) decide(r *row, e *event.Event, s *event.Summary) verdict {
	r.set(e, s)
	out, _, err := f.program.Eval(r)
	if err != nil {
		if cancelled := (interpreter.EvalCancelledError{}); errors.As(err, &cancelled) {
			return costly
		}
		return undecided
	}
	if out.Value() == true {
		return yes
	}
	return no
}

func (f *Filter) newRow() *row {
	return &row{event: object{typ: f.schema.event}, conn: object{typ: f.schema.summary}}
}
