package expr

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/decls"
	"github.com/google/cel-go/common/functions"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
)

const (
	// maxCost bounds one evaluation as Kubernetes does: about as many steps, or ten times as many bytes looked at or made.
	maxCost = 1_000_000
	// maxResult bounds what a single call may make, in bytes, and what it may compare.
	maxResult = 1 << 20
)

// errTooLarge ends an evaluation that would need too much memory or time in one call, before the call.
var errTooLarge = errors.New("the result is too large")

// growing are the functions whose result, or whose work, may be far larger than what they are given, with the bound of it.
// The cost of a call is known only after it.
var growing = map[string]func(args []ref.Val) int{
	"replace": func(args []ref.Val) int {
		text, is := args[0].(types.String)
		old, isText := args[1].(types.String)
		if !is || !isText {
			return 0 // the function says so
		}
		return len(text) + product(strings.Count(string(text), string(old)), sizeOf(args[2]))
	},
	"split": func(args []ref.Val) int { return product(sizeOf(args[0]), elementSize) },
	"join": func(args []ref.Val) int {
		size := sizeOf(args[0])
		if len(args) > 1 {
			size += product(lengthOf(args[0]), sizeOf(args[1]))
		}
		return size
	},
	"format":          sizesOf,
	"json.encode":     sizesOf,
	"sets.contains":   comparisons,
	"sets.equivalent": comparisons,
	"sets.intersects": comparisons,
}

// elementSize is what an element of a list takes beside its content.
const elementSize = 32

func comparisons(args []ref.Val) int { return product(lengthOf(args[0]), lengthOf(args[1])) }

// boundedFunctions are the growing functions as they are, but for a refusal of what is too large.
func boundedFunctions() ([]cel.EnvOption, error) {
	env, err := cel.NewEnv(libraries()...)
	if err != nil {
		return nil, err
	}
	var options []cel.EnvOption
	for name, bound := range growing {
		function := env.Functions()[name]
		bindings, err := function.Bindings()
		if err != nil {
			return nil, err
		}
		if len(bindings) == 0 {
			return nil, fmt.Errorf("there is no function %s to bound", name)
		}
		calls := map[string]*functions.Overload{}
		for _, binding := range bindings {
			calls[binding.Operator] = binding
		}
		var overloads []cel.FunctionOpt
		for _, overload := range function.OverloadDecls() {
			overloads = append(overloads, bounded(overload, calls[overload.ID()], bound))
		}
		options = append(options, cel.Function(name, overloads...))
	}
	return options, nil
}

func bounded(overload *decls.OverloadDecl, call *functions.Overload, bound func([]ref.Val) int) cel.FunctionOpt {
	refuse := func(args ...ref.Val) ref.Val {
		if bound(args) > maxResult {
			return types.WrapErr(errTooLarge)
		}
		return nil
	}
	var binding cel.OverloadOpt
	switch {
	case call.Unary != nil:
		binding = cel.UnaryBinding(func(a ref.Val) ref.Val {
			if err := refuse(a); err != nil {
				return err
			}
			return call.Unary(a)
		})
	case call.Binary != nil:
		binding = cel.BinaryBinding(func(a, b ref.Val) ref.Val {
			if err := refuse(a, b); err != nil {
				return err
			}
			return call.Binary(a, b)
		})
	default:
		binding = cel.FunctionBinding(func(args ...ref.Val) ref.Val {
			if err := refuse(args...); err != nil {
				return err
			}
			return call.Function(args...)
		})
	}
	declare := cel.Overload
	if overload.IsMemberFunction() {
		declare = cel.MemberOverload
	}
	return declare(overload.ID(), overload.ArgTypes(), overload.ResultType(), binding)
}

// sizes has calls cost what they look at and make. It is needed where types are not known before the evaluation, and for
// the functions that are none of CEL's own.
type sizes struct{}

func (sizes) CallCost(_, _ string, args []ref.Val, result ref.Val) *uint64 {
	size := contentOf(result)
	for _, arg := range args {
		size += contentOf(arg)
	}
	cost := uint64(size / 10)
	return &cost
}

// contentOf is the size of text, and the number of a list's elements.
func contentOf(value ref.Val) int {
	switch v := value.(type) {
	case types.String:
		return len(v)
	case types.Bytes:
		return len(v)
	}
	return lengthOf(value)
}

func lengthOf(value ref.Val) int {
	if sizer, is := value.(traits.Sizer); is {
		if n, is := sizer.Size().(types.Int); is {
			return int(n)
		}
	}
	return 0
}

func sizesOf(args []ref.Val) int {
	total := 0
	for _, arg := range args {
		total = min(total+sizeOf(arg), maxResult+1)
	}
	return total
}

// sizeOf is what a value takes in text, or anything above maxResult.
func sizeOf(value ref.Val) int {
	switch v := value.(type) {
	case types.String:
		return len(v)
	case types.Bytes:
		return len(v)
	case traits.Mapper:
		return elementsSize(v, func(key ref.Val) int { return sizeOf(key) + sizeOf(v.Get(key)) })
	case traits.Lister:
		return elementsSize(v, sizeOf)
	}
	return elementSize
}

func elementsSize(value traits.Iterable, sizeOf func(ref.Val) int) int {
	total := 0
	for it := value.Iterator(); it.HasNext() == types.True && total <= maxResult; {
		total += elementSize + sizeOf(it.Next())
	}
	return total
}

// product is a*b, or anything above maxResult.
func product(a, b int) int {
	if b > 0 && a > maxResult/b {
		return maxResult + 1
	}
	return a * b
}
