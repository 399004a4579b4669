package expr

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
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
type expression struct{ program cel.Program }

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
	base, err := environment()
	if err != nil {
		return nil, err
	}
	var declared []cel.EnvOption
	for _, name := range variables {
		declared = append(declared, cel.Variable(name, cel.ObjectType("google.protobuf.Struct")))
	}
	env, err := base.Extend(declared...)
	if err != nil {
		return nil, err
	}
	return compile(env, env.Compile, text)
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
	if ast.IsChecked() && !ast.OutputType().IsExactType(cel.BoolType) {
		return nil, fmt.Errorf("%w: is of type %s and has to be a boolean: compare it, as in `x == true`", fleet.ErrInvalid, ast.OutputType())
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
	return &expression{program}, nil
}

// isTrue evaluates the expression.
func (e *expression) isTrue(variables map[string]any) (bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), maxTime)
	defer cancel()
	value, _, err := e.program.ContextEval(ctx, variables)
	if err != nil {
		return false, err
	}
	result, is := value.(types.Bool)
	if !is {
		return false, errors.New("it is not a boolean but of type " + value.Type().TypeName())
	}
	return bool(result), nil
}
