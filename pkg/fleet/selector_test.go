package fleet_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"flotilla.dev/flotilla/pkg/fleet"
)

// some returns a random one.
func some[T any](choices ...T) T { return choices[rand.IntN(len(choices))] }

func someLabels() map[string]string {
	set := map[string]string{}
	for range rand.IntN(4) {
		set[some("tier", "region", "example.com/zone", "x")] = some("", "prod", "eu-1", "1.0")
	}
	return set
}

func TestSelectorMatchesWhatKubernetesDoes(t *testing.T) {
	t.Parallel()
	for range 3000 {
		var mine fleet.Selector
		var theirs metav1.LabelSelector
		if rand.IntN(2) == 0 {
			mine.MatchLabels = someLabels()
			theirs.MatchLabels = mine.MatchLabels
		}
		for range rand.IntN(3) {
			r := fleet.SelectorRequirement{Key: some("tier", "region", "x"), Operator: some("In", "NotIn", "Exists", "DoesNotExist")}
			if strings.HasSuffix(r.Operator, "In") {
				r.Values = []string{some("", "prod", "eu-1"), some("prod", "1.0")}
			}
			mine.MatchExpressions = append(mine.MatchExpressions, r)
			theirs.MatchExpressions = append(theirs.MatchExpressions, metav1.LabelSelectorRequirement{Key: r.Key, Operator: metav1.LabelSelectorOperator(r.Operator), Values: r.Values})
		}
		selector, err := metav1.LabelSelectorAsSelector(&theirs)
		if err != nil {
			t.Fatal(err)
		}
		if set := someLabels(); mine.Matches(set) != selector.Matches(labels.Set(set)) {
			t.Fatalf("%+v matches %v: %t", mine, set, mine.Matches(set))
		}
		if mine.IsEmpty() != selector.Empty() {
			t.Fatalf("%+v is empty: %t", mine, mine.IsEmpty())
		}
	}
}

func TestParsedSelectorMatchesWhatKubectlsDoes(t *testing.T) {
	t.Parallel()
	for range 3000 {
		var parts []string
		for range rand.IntN(4) {
			key, value, space := some("tier", "region", "example.com/zone"), some("prod", "eu-1", "1.0", ""), some("", " ")
			parts = append(parts, space+some(key+"="+value, key+"=="+value, key+" != "+value, key+" in (prod, eu-1)", key+" notin (prod)", key, "!"+key, key+" in (prod)")+space)
		}
		text := strings.Join(parts, ",")
		theirs, err := labels.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		mine, err := fleet.ParseSelector(text)
		if err != nil {
			t.Fatal(err)
		}
		if set := someLabels(); mine.Matches(set) != theirs.Matches(labels.Set(set)) {
			t.Fatalf("%q matches %v: %t", text, set, mine.Matches(set))
		}
	}
}

func TestSelectorThatIsNoneIsRefusedByItsPart(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"a=b=c", "a in b", "a in (b", "in (b)", "=b", "a b", "a>1"} {
		if _, err := fleet.ParseSelector("ok=1," + text); !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), text) {
			t.Errorf("%q: error %v", text, err)
		}
	}
}
