package filter

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"

	"synscope/internal/nearest"
)

// An Error is one mistake in an expression.
type Error struct {
	Line, Col int    // from 1, in characters; 0 if the expression as a whole is meant
	Msg       string // what is wrong
	Hint      string // what to do about it; may be empty

	source []string // the lines of the expression
}

// Error returns a line with the position, what is wrong and what to do, and then
// the line of the expression with a caret below the place, if it is short.
func (e *Error) Error() string {
	var b strings.Builder
	switch {
	case e.Line > 0 && len(e.source) > 1:
		fmt.Fprintf(&b, "line %d, column %d: ", e.Line, e.Col)
	case e.Line > 0:
		fmt.Fprintf(&b, "column %d: ", e.Col)
	}
	b.WriteString(e.Msg)
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	if 0 < e.Line && e.Line <= len(e.source) {
		line := strings.ReplaceAll(e.source[e.Line-1], "\t", " ")
		if len(line) <= maxExcerpt && !strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
			fmt.Fprintf(&b, "\n    %s\n    %*s", line, e.Col, "^")
		}
	}
	return b.String()
}

// maxExcerpt is the longest line of an expression that an error shows again.
const maxExcerpt = 120

// Errors is the mistakes in an expression, in their order. There is at least
// one.
type Errors []*Error

// Error returns the errors one below the other.
func (es Errors) Error() string {
	texts := make([]string, len(es))
	for i, e := range es {
		texts[i] = e.Error()
	}
	return strings.Join(texts, "\n")
}

// maxErrors bounds how many mistakes are told at once.
const maxErrors = 10

// A teller makes errors of what CEL found wrong with an expression.
type teller struct {
	schema *schema
	source []string
	vars   []string // the names of the variables
}

func (t *teller) errors(issues *cel.Issues, tree *ast.AST) Errors {
	var es Errors
	for _, e := range issues.Errors() {
		if strings.Contains(e.Message, "!error!") {
			continue // it follows from another
		}
		es = append(es, t.error(e, tree))
		if tree == nil || len(es) == maxErrors {
			break // what follows a syntax error follows from it
		}
	}
	return es
}

// The messages of CEL that are put in other words.
var (
	badName     = regexp.MustCompile(`^undeclared reference to '([^']*)'(?: \(did you mean '([^']*)'\?\))?`)
	badField    = regexp.MustCompile(`^undefined field '([^']*)'`)
	badOverload = regexp.MustCompile(`^found no matching overload for '([^']*)' applied to '(.*)'`)
	badSelect   = regexp.MustCompile(`^type '([^']*)' does not support field selection`)
	badToken    = regexp.MustCompile(`^Syntax error: token recognition error at: '(.+?)\s*'$`)
	badInput    = regexp.MustCompile(`^Syntax error: (?:mismatched|extraneous) input '(.+?)' expecting`)
)

func (t *teller) error(ce *common.Error, tree *ast.AST) *Error {
	e := &Error{Line: ce.Location.Line(), Col: ce.Location.Column() + 1, Msg: ce.Message, source: t.source}
	if e.Line < 1 {
		e.Line = 0 // no place was found
	} else {
		e.Col = max(e.Col, 1)
	}
	match := func(r *regexp.Regexp) []string { return r.FindStringSubmatch(ce.Message) }
	if m := match(badName); m != nil {
		t.name(e, m[1], m[2])
	} else if m := match(badField); m != nil {
		t.field(e, m[1], find(tree, ce.ExprID))
	} else if m := match(badOverload); m != nil {
		overload(e, m[1], m[2])
	} else if m := match(badSelect); m != nil {
		e.Msg = fmt.Sprintf("a value of type %s has no fields", m[1])
	} else if m := match(badToken); m != nil {
		unexpected(e, m[1])
	} else if m := match(badInput); m != nil {
		unexpected(e, m[1])
	} else {
		e.Msg = strings.TrimPrefix(e.Msg, "Syntax error: ")
	}
	return e
}

// name tells of a name that is no variable and no function.
func (t *teller) name(e *Error, name, function string) {
	e.Msg = fmt.Sprintf("unknown name %q", name)
	if before := t.before(e); strings.HasSuffix(before, name) {
		e.Col -= len([]rune(name)) // the place was that of a function's parenthesis
	}
	if name == eventVar { // of an Expectation, which has no event of its own
		e.Hint = fmt.Sprintf("write %s.exists(%s, …)", timelineVar, eventVar)
		return
	}
	if function != "" {
		e.Hint = fmt.Sprintf("did you mean %q?", function)
		return
	}
	if e.Hint = nearest.Suggest(name, t.vars); e.Hint != "" {
		return
	}
	for _, object := range []string{eventVar, "tls", "tcp"} {
		if slices.Contains(t.vars, object) && slices.Contains(t.schema.fieldsOf(ast.NewExprFactory().NewIdent(0, object)), name) {
			e.Hint = fmt.Sprintf("did you mean %q?", object+"."+name)
			return
		}
	}
}

// field tells of a name that is no field of an object.
func (t *teller) field(e *Error, name string, access ast.Expr) {
	e.Msg = fmt.Sprintf("unknown field %q", name)
	// The place is that of the dot, or of a macro's parenthesis.
	if rest := []rune(t.source[e.Line-1]); e.Col <= len(rest) {
		if before, _, ok := strings.Cut(string(rest[e.Col-1:]), name); ok {
			e.Col += len([]rune(before))
		}
	}
	var names []string
	if access != nil && access.Kind() == ast.SelectKind {
		names = t.schema.fieldsOf(access.AsSelect().Operand())
	}
	e.Hint = nearest.Suggest(name, names)
}

// before returns what stands before the place of an error in its line.
func (t *teller) before(e *Error) string {
	line := []rune(t.source[e.Line-1])
	return string(line[:min(e.Col-1, len(line))])
}

// overload tells of an operator or function that does not take such values.
func overload(e *Error, name, args string) {
	if symbol, ok := operators.FindReverse(name); ok && symbol != "" {
		name = symbol
	}
	e.Msg = fmt.Sprintf("%s does not take values of types %s", name, args)
	switch has := func(typ string) bool { return strings.Contains(args, typ) }; {
	case has("duration") && (has("int") || has("double") || has("string")):
		e.Hint = `write a duration as duration("10ms")`
	case has("timestamp") && has("string"):
		e.Hint = `write a time as timestamp("2026-11-25T10:00:00Z")`
	case strings.HasPrefix(args, "(list(") && name == "==":
		e.Hint = `write "x" in LIST`
	}
}

// unexpected tells of a part that cannot stand where it does.
func unexpected(e *Error, part string) {
	if part == "<EOF>" {
		e.Msg = "the expression ends too early"
		return
	}
	if part[0] == '"' || part[0] == '\'' && strings.Count(part, "'") < 2 {
		e.Msg = "a string has no end"
		if strings.Count(part, `"`) < 2 {
			return
		}
	}
	e.Msg = fmt.Sprintf("unexpected %q", part)
	if cel := map[string]string{"=": "==", "and": "&&", "or": "||", "not": "!", "&": "&&", "|": "||", "<>": "!="}[part]; cel != "" {
		e.Hint = "write " + cel
	}
}
