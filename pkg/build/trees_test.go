package build_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"flotilla.dev/flotilla/pkg/build"
	"flotilla.dev/flotilla/pkg/build/buildtest"
	"flotilla.dev/flotilla/pkg/fleet"
)

var randomTrees = flag.Int("trees", 200, "how many random trees a Builder is tried on")

// least is the share of the random trees that has to be built without kustomize, in percent.
const least = 60

// A Builder makes of any tree what kustomize makes of it, or fails as kustomize does: at first, with what it keeps, and
// when a file has changed since. What all have in common is kustomize's global state, so that these tests are not parallel.
func TestBuilderMakesOfAnyTreeWhatKustomizeMakes(t *testing.T) {
	muteKustomize(t)
	tried := trial{Builder: build.NewBuilder(build.Options{})}
	setFlag(t, "rapid.checks", strconv.Itoa(*randomTrees))
	setFlag(t, "rapid.shrinktime", "0s") // the files themselves are reduced, which leaves less
	rapid.Check(t, func(rt *rapid.T) {
		tree := buildtest.Random().Draw(rt, "tree")
		tried.outcomes = append(tried.outcomes, tried.compare(rt, tree))
		if rapid.IntRange(0, 3).Draw(rt, "edit") == 0 {
			tried.compare(rt, tree.Edited().Draw(rt, "edited"))
		}
	})
	t.Log(tried.report())
	if len(tried.outcomes) < *randomTrees && !t.Failed() {
		t.Errorf("only %d of %d trees were tried in the time that the test had: give it more by -timeout", len(tried.outcomes), *randomTrees)
	}
	if share := tried.share(); share < least {
		t.Errorf("%.1f %% of the trees were built without kustomize; that is to be %d %% at least", share, least)
	}
}

func TestBuilderMakesOfDocumentedTreesWhatKustomizeMakes(t *testing.T) {
	muteKustomize(t)
	tried := trial{Builder: build.NewBuilder(build.Options{})}
	all := buildtest.Documented()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) {
			out := tried.compare(t, all[name])
			if refused := slices.Contains([]string{"helmCharts", "remote", "validators"}, name); out.built == refused {
				_, err := build.Build(t.Context(), all[name].FS(), buildtest.Dir, all[name].Spec)
				t.Errorf("built: %t, the other was meant: %v", out.built, err)
			}
			tried.outcomes = append(tried.outcomes, out)
		})
	}
	t.Log(tried.report())
}

// Whatever is wrong with a tree, a Builder does not build what kustomize refuses.
func TestBuilderFailsWhereKustomizeFails(t *testing.T) {
	muteKustomize(t)
	tried := trial{Builder: build.NewBuilder(build.Options{})}
	for _, flaw := range buildtest.Flaws() {
		for seed := range 2 {
			t.Run(flaw, func(t *testing.T) {
				tried.outcomes = append(tried.outcomes, tried.compare(t, buildtest.Flawed(flaw).Example(seed)))
			})
		}
	}
	t.Log(tried.report())
	// Some of it kustomize forgives.
	if built := tried.count(func(o outcome) bool { return o.built }); 4*built > len(tried.outcomes) {
		t.Errorf("%d of %d trees were built: that is too many for trees that are wrong", built, len(tried.outcomes))
	}
}

// trial counts how trees are built.
type trial struct {
	*build.Builder
	outcomes []outcome
	// failed is what there is to say of trees that failed: rapid asks again.
	failed map[string]string
}

// failer is a test, of rapid or not.
type failer interface {
	Helper()
	Context() context.Context
	Errorf(format string, args ...any)
}

// compare builds a tree by kustomize and by the Builder, twice, as the second finds what the first has kept. It says what
// came of the first, and fails with the tree where that is not the same: with as little of it as fails too.
func (s *trial) compare(t failer, tree buildtest.Tree) outcome {
	t.Helper()
	out, failure := tryTree(t.Context(), s.Builder, tree)
	if failure == "" {
		_, failure = tryTree(t.Context(), s.Builder, tree)
	}
	if failure == "" {
		return out
	}
	whole := tree.String()
	if s.failed[whole] == "" {
		if s.failed == nil {
			s.failed = map[string]string{}
		}
		s.failed[whole] = reduce(t.Context(), tree, failure)
	}
	t.Errorf("%s", s.failed[whole])
	return out
}

// reduce describes the failure by as little of the tree as fails too.
func reduce(ctx context.Context, tree buildtest.Tree, failure string) string {
	alone := func(tree buildtest.Tree) string {
		_, failure := tryTree(ctx, build.NewBuilder(build.Options{}), tree)
		return failure
	}
	if alone(tree) == "" {
		return fmt.Sprintf("only after other builds, with what was kept of them: %s\n%s", failure, tree)
	}
	tree = tree.Reduce(func(smaller buildtest.Tree) bool { return alone(smaller) != "" })
	return fmt.Sprintf("%s\n%s", alone(tree), tree)
}

// tryTree builds a tree by kustomize and by the Builder. The failure is where that is not the same.
func tryTree(ctx context.Context, b *build.Builder, tree buildtest.Tree) (out outcome, failure string) {
	want, wanted := build.Build(ctx, tree.FS(), buildtest.Dir, tree.Spec)
	got, err := b.Build(ctx, tree.FS(), buildtest.Dir, tree.Spec)
	out = outcome{got.Way, generally(got.Reason), wanted == nil}
	switch {
	case wanted != nil && err == nil:
		failure = fmt.Sprintf("built by %s: what kustomize refuses: %v", got.Way, wanted)
	case wanted == nil && err != nil:
		failure = fmt.Sprintf("not built by %s (%s): %v", got.Way, got.Reason, err)
	case errors.Is(wanted, fleet.ErrInvalid) != errors.Is(err, fleet.ErrInvalid):
		failure = fmt.Sprintf("the error by %s is %v; kustomize's is %v", got.Way, err, wanted)
	case !slices.EqualFunc(want, got.Objects, bytes.Equal):
		failure = fmt.Sprintf("another output by %s (-kustomize +here):\n%s", got.Way, cmp.Diff(join(want), join(got.Objects)))
	}
	return out, failure
}

func join(documents [][]byte) string { return string(bytes.Join(documents, []byte("---\n"))) }

// outcome is how a tree was built. A tree that is refused when its build is planned has no way.
type outcome struct {
	way    build.Class
	reason string
	built  bool
}

var particular = regexp.MustCompile(`^(\S+/)?[Kk]ustomization(\.ya?ml)?: |\[[0-9]+\]|\bp?[a-z]+-[0-9]+\S*`)

// generally is a reason without what it says of one tree.
func generally(reason string) string { return particular.ReplaceAllString(reason, "") }

// share is that of the trees that were built without kustomize, in percent of all.
func (s *trial) share() float64 {
	quick := s.count(func(o outcome) bool { return o.built && (o.way == build.ClassPlain || o.way == build.ClassEngine) })
	return 100 * float64(quick) / float64(max(len(s.outcomes), 1))
}

func (s *trial) count(which func(outcome) bool) int {
	n := 0
	for _, o := range s.outcomes {
		if which(o) {
			n++
		}
	}
	return n
}

// report has a row for each way and reason, the frequent first.
func (s *trial) report() string {
	counts, rows := map[string]int{}, map[string]int{}
	for _, o := range s.outcomes {
		state := "built"
		if !o.built {
			state = "failed"
		}
		counts[state]++
		switch {
		case o.way == "":
			rows[state+"\tno way\trefused when it was planned"]++
		case o.way == build.ClassKustomize:
			rows[state+"\tkustomize\t"+o.reason]++
		default:
			rows[state+"\t"+string(o.way)+"\t"]++
		}
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%d trees: %d built, %d failed with both; %.1f %% built without kustomize\n", len(s.outcomes), counts["built"], counts["failed"], s.share())
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, row := range slices.SortedFunc(maps.Keys(rows), func(a, b string) int { return rows[b] - rows[a] }) {
		fmt.Fprintf(table, "%d\t%.1f %%\t%s\n", rows[row], 100*float64(rows[row])/float64(len(s.outcomes)), row)
	}
	_ = table.Flush() // into memory
	return text.String()
}

// muteKustomize leaves out kustomize's warnings, and has what would end the process panic instead.
func muteKustomize(t *testing.T) {
	t.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	stderr, output := os.Stderr, log.Writer()
	os.Stderr = null
	log.SetOutput(fatal{})
	t.Cleanup(func() {
		os.Stderr = stderr
		log.SetOutput(output)
		_ = null.Close() // nothing was kept
	})
}

// fatal is where package log writes. Kustomize ends the process by it for some input, and else only warns.
type fatal struct{}

func (fatal) Write(message []byte) (int, error) {
	if !bytes.Contains(message, []byte("well-defined vars")) && !bytes.Contains(message, []byte("Sorting order")) {
		panic(string(message))
	}
	return len(message), nil
}

// setFlag is for a test alone.
func setFlag(t *testing.T, name, value string) {
	t.Helper()
	before := flag.Lookup(name).Value.String()
	if err := flag.Set(name, value); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = flag.Set(name, before) }) // which it was
}
