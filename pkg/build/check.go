package build

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"

	"sigs.k8s.io/yaml"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Difference is where a build and kustomize's own of the same tree differ.
type Difference struct {
	// Dir is the directory that was built, and Shape the shape of its Plan: trees of that shape are not to be trusted.
	Dir   string
	Shape fleet.Digest
	// What differs, in words: the first object by kind, namespace and name, and nothing of what is in it.
	What string
}

// check has kustomize repeat some builds. What comes in its way is not the build's failure.
func (b *Builder) check(plan *Plan, out Output) (Output, error) {
	switch n := b.options.CheckEvery; {
	case n == 0 || rand.IntN(n) != 0:
		return out, nil
	case len(out.Objects) > maxChecked:
		out.Skipped = true
		return out, nil
	}
	if b.options.Checking != nil {
		b.options.Checking(plan, out)
	}
	want, err := plan.tree.kustomize(plan.top)
	if failure := plan.tree.failure; failure != nil && !errors.Is(failure, fleet.ErrInvalid) {
		plan.tree.failure, out.Skipped = nil, true
		return out, nil
	}
	out.Checked = true
	if out.Difference = difference(plan, out.Objects, want, err); out.Difference != nil {
		b.Distrust(plan.Shape)
		out.Objects, out.Way, out.Cause = want, ClassKustomize, CauseDifference
		out.Reason = "kustomize came to something else when it repeated the build"
	}
	return out, err
}

// maxChecked is the number of objects up to which a build is repeated: kustomize is not likely to come to the end of more
// within the time that a build has.
const maxChecked = 2000

// difference compares what was built with what kustomize made of it, which failed or not; nil: it is the same.
func difference(plan *Plan, got, want [][]byte, failure error) *Difference {
	what := ""
	switch i := firstDifference(got, want); {
	case failure != nil:
		what = "kustomize refuses what was built"
	case i == len(got) && i == len(want):
		return nil
	case i == len(got):
		what = fmt.Sprintf("%s is missing (%d objects instead of %d)", nameOf(want[i]), len(got), len(want))
	case i == len(want):
		what = fmt.Sprintf("%s should not be there (%d objects instead of %d)", nameOf(got[i]), len(got), len(want))
	case nameOf(got[i]) != nameOf(want[i]):
		what = fmt.Sprintf("%s is in the place of %s", nameOf(got[i]), nameOf(want[i]))
	default:
		what = nameOf(want[i]) + " has another content"
	}
	return &Difference{Dir: plan.Dir, Shape: plan.Shape, What: what}
}

// firstDifference is the index of the first documents that are not equal, or the length of the shorter list.
func firstDifference(a, b [][]byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if !sameDocument(a[i], b[i]) {
			return i
		}
	}
	return n
}

// nameOf is the kind, namespace and name of an object.
func nameOf(document []byte) string {
	var head struct {
		Kind     string `json:"kind"`
		Metadata struct {
			Name      string `json:"name"`
			Namespace string `json:"namespace"`
		} `json:"metadata"`
	}
	if err := yaml.Unmarshal(document, &head); err != nil || head.Kind == "" {
		return "an object without a kind"
	}
	return short(head.Kind + "/" + cmp.Or(head.Metadata.Namespace, "-") + "/" + head.Metadata.Name)
}
