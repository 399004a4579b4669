package sdk

import (
	"errors"
	"fmt"
	"strings"
)

// waitError says what was waited for in vain.
type waitError struct {
	open []*sight
	why  error
}

// errFailed says no more than the states of the objects do.
var errFailed = errors.New("it has failed")

func (e *waitError) Unwrap() error { return e.why }

// maxNamed is how many objects an error names.
const maxNamed = 5

func (e *waitError) Error() string { return e.text((*sight).String) }

// states is the text without what the objects say themselves.
func (e *waitError) states() string {
	return e.text(func(s *sight) string {
		return (&sight{info: s.info, state: s.state}).String()
	})
}

func (e *waitError) text(of func(*sight) string) string {
	var names []string
	for _, seen := range e.open[:min(len(e.open), maxNamed)] {
		names = append(names, of(seen))
	}
	if more := len(e.open) - maxNamed; more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	all := strings.Join(names, "; ")
	if e.why == errFailed {
		return all
	}
	return e.why.Error() + ": " + all
}
