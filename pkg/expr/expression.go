package expr

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/ext"

	"flotilla.dev/flotilla/pkg/fleet"
)

const (
	// maxLength bounds an expression, in characters.
	maxLength = 16 << 10
	// maxTime bounds one evaluation where its cost tells too little.
	maxTime = time.Second
)

// expression is a compiled CEL expression. It is safe for concurrent use.
type expression struct {
	text    string
	program cel.Program
}

// parse compiles an expression over variables of which nothing is known beforehand: any field of an object is one.
func parse(text string) (*expression, error) {
	env, err := environment()
	if err != nil {
		return nil, err
	}
	return compile(env, env.Parse, text)
}

// check compiles an expression over variables that are objects of any content. As in Flux it has to be a boolean by its
// form: `dep.status.ready == true`, not `dep.status.ready`.
func check(text string, variables ...string) (*expression, error) {
	e, output, err := declare(text, variables)
	if err == nil && !output.IsExactType(cel.BoolType) {
		err = fmt.Errorf("%w: is of type %s and has to be a boolean: compare it, as in `x == true`", fleet.ErrInvalid, output)
	}
	return e, err
}

// declare compiles an expression of any type over variables that are objects of any content.
func declare(text string, variables []string) (*expression, *cel.Type, error) {
	base, err := environment()
	if err != nil {
		return nil, nil, err
	}
	var declared []cel.EnvOption
	for _, name := range variables {
		declared = append(declared, cel.Variable(name, cel.ObjectType("google.protobuf.Struct")))
	}
	env, err := base.Extend(declared...)
	if err != nil {
		return nil, nil, err
	}
	var output *cel.Type
	e, err := compile(env, func(text string) (*cel.Ast, *cel.Issues) {
		ast, issues := env.Compile(text)
		if issues.Err() == nil {
			output = ast.OutputType()
		}
		return ast, issues
	}, text)
	return e, output, err
}

// environment is that of Flux's expressions (fluxcd/pkg/runtime/cel).
var environment = sync.OnceValues(func() (*cel.Env, error) {
	bounded, err := boundedFunctions()
	if err != nil {
		return nil, err
	}
	options := append(libraries(), bounded...)
	return cel.NewEnv(append(options,
		cel.HomogeneousAggregateLiterals(),
		cel.EagerlyValidateDeclarations(true),
		cel.DefaultUTCTimeZone(true),
		cel.CrossTypeNumericComparisons(true),
		cel.ParserExpressionSizeLimit(maxLength),
	)...)
})

func libraries() []cel.EnvOption {
	return []cel.EnvOption{cel.OptionalTypes(), ext.Strings(), ext.Sets(), ext.Encoders()}
}

func compile(env *cel.Env, read func(string) (*cel.Ast, *cel.Issues), text string) (*expression, error) {
	if n := utf8.RuneCountInString(text); n > maxLength {
		return nil, fmt.Errorf("%w: is %d characters long, and at most %d are taken", fleet.ErrInvalid, n, maxLength)
	}
	ast, issues := read(text)
	if found := issues.Errors(); len(found) > 0 {
		at := found[0].Location
		return nil, fmt.Errorf("%w: does not compile as CEL: line %d, column %d: %s", fleet.ErrInvalid, at.Line(), at.Column()+1, found[0].Message)
	}
	program, err := env.Program(ast,
		cel.EvalOptions(cel.OptOptimize),
		cel.InterruptCheckFrequency(100), // as Kubernetes
		cel.CostLimit(maxCost),
		cel.CostTracking(sizes{}),
	)
	if err != nil {
		return nil, fmt.Errorf("%w: does not compile as CEL: %w", fleet.ErrInvalid, err)
	}
	return &expression{text, program}, nil
}

// tellable is as much of an evaluation's error as holds nothing of the objects: an error of a conversion, say, quotes what
// may be secret.
func (e *expression) tellable(err error) error {
	text := err.Error()
	for _, told := range []string{"no such key", "no such attribute"} {
		if _, name, named := strings.Cut(text, ": "); named && strings.HasPrefix(text, told) && strings.Contains(e.text, name) {
			return errors.New(text) // which the expression names itself
		}
	}
	for _, told := range []string{"no such key", "no such attribute", "no such overload", errTooLarge.Error(), "cost limit exceeded", "interrupted"} {
		if strings.Contains(text, told) {
			return errors.New(told)
		}
	}
	return errors.New("its evaluation fails; the error is not told, as it may quote the object")
}

// value evaluates the expression.
func (e *expression) value(variables map[string]any) (ref.Val, error) {
	ctx, cancel := context.WithTimeout(context.Background(), maxTime)
	defer cancel()
	value, _, err := e.program.ContextEval(ctx, variables)
	if err != nil {
		return nil, e.tellable(err)
	}
	return value, nil
}

// isTrue evaluates the expression, which has to come to a boolean.
func (e *expression) isTrue(variables map[string]any) (bool, error) {
	value, err := e.value(variables)
	if err != nil {
		return false, err
	}
	result, is := value.(types.Bool)
	if !is {
		return false, errors.New("it is not a boolean but of type " + value.Type().TypeName())
	}
	return bool(result), nil
}
