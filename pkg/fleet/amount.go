package fleet

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Amount is a number of clusters, or a percentage of some: 3 or "25%".
type Amount struct {
	value   int
	percent bool
	// problem says why what was given is none; validation reports it with the field's path.
	problem string
}

// Clusters is the Amount of n clusters.
func Clusters(n int) *Amount { return &Amount{value: n} }

// Percent is the Amount of p percent.
func Percent(p int) *Amount { return &Amount{value: p, percent: true} }

// Of returns the Amount among n, at most n: of a percentage the part that is full, floor(n*p/100).
func (a Amount) Of(n int) int {
	if !a.percent {
		return min(a.value, n)
	}
	return n * a.value / 100
}

// AtLeastOneOf is Of, and 1 where that were none.
func (a Amount) AtLeastOneOf(n int) int { return max(1, a.Of(n)) }

// RoundedUpOf is Of with a percentage rounded up, as what has to be reached is.
func (a Amount) RoundedUpOf(n int) int {
	if !a.percent {
		return min(a.value, n)
	}
	return (n*a.value + 99) / 100
}

// String is as it is written in a policy, without the quotes.
func (a Amount) String() string {
	if a.percent {
		return strconv.Itoa(a.value) + "%"
	}
	return strconv.Itoa(a.value)
}

// MarshalJSON encodes a number of clusters as a number, a percentage as text.
func (a Amount) MarshalJSON() ([]byte, error) {
	if a.percent {
		return json.Marshal(a.String())
	}
	return json.Marshal(a.value)
}

// UnmarshalJSON reads 3, "3" or "25%". One that is not understood is no error here but in the validation of the spec,
// which knows its path.
func (a *Amount) UnmarshalJSON(data []byte) error {
	*a = Amount{}
	text, percent := strings.CutSuffix(strings.Trim(string(data), `"`), "%")
	value, err := strconv.Atoi(text)
	switch {
	case err != nil, value > math.MaxInt32, percent && len(data) == len(text)+1:
		a.problem = fmt.Sprintf(`%s is not a number of clusters such as 3, or a percentage such as "25%%"`, data)
	case value < 0:
		a.problem = fmt.Sprintf("%s is below zero", data)
	case percent && value > 100:
		a.problem = fmt.Sprintf("%s is more than all", data)
	}
	a.value, a.percent = value, percent
	return nil
}

// validate records what is wrong with a, whose path is path. None, where it must not be, is what advice is about.
func (a *Amount) validate(fields *Fields, path string, zero bool, advice string) {
	switch {
	case a == nil:
	case a.problem != "":
		fields.Refuse(path, "%s", a.problem)
	case a.value == 0 && !zero:
		fields.Refuse(path, "%s lets nothing through for ever: %s", a, advice)
	}
}
