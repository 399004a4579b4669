package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
	"flotilla.dev/flotilla/test/lab"
)

// chain is a fleet of one cluster, prod-1, in which App b depends on App a, of the same Source.
type chain struct {
	*bundle
	since fleet.Horizon
	// generations of the declarations.
	generations map[string]int64
}

func named(name string) fleet.Key {
	return fleet.Key{Home: fleet.HubHome, Kind: "Kustomization", Namespace: "apps", Name: name}
}

// kustomization declares an App with more in its metadata and its spec.
func kustomization(name, metadata, spec string) string {
	return fmt.Sprintf(`{"apiVersion":"kustomize.toolkit.fluxcd.io/v1","kind":"Kustomization","metadata":{"name":%q,"namespace":"apps"%s},
		"spec":{"interval":"10m","prune":true,"sourceRef":{"kind":"GitRepository","name":"app"}%s}}`, name, metadata, spec)
}

func newChain(t *testing.T) *chain {
	t.Helper()
	c := &chain{bundle: newBundle(t), generations: map[string]int64{}}
	for _, declared := range []string{
		clusterYAML("prod-1", "prod"), gitYAML,
		placementYAML(`{"apps":[{"kind":"Kustomization","name":"a"},{"kind":"Kustomization","name":"b"}],"clusters":{"selector":{}}}`),
	} {
		c.apply(declared)
	}
	c.declare("a", "", "")
	c.declare("b", "", `,"dependsOn":[{"name":"a"}]`)
	return c
}

func (c *chain) declare(name, metadata, spec string) {
	c.t.Helper()
	c.apply(kustomization(name, metadata, spec))
	o, err := c.Object(c.t.Context(), "Kustomization", "apps", name)
	if err != nil {
		c.t.Fatal(err)
	}
	c.generations[name] = o.Metadata.Generation
}

// built stores what an App comes to at a revision; empty content: it cannot be built.
func (c *chain) built(name, revision, content string) {
	c.t.Helper()
	if content == "" {
		failure := fleet.BuildFailure{Generation: c.generations[name], Revision: fleet.Revision(revision), Reason: fleet.ReasonBuildFailed, Message: "no such file"}
		if err := c.NotReleased(c.t.Context(), named(name), failure); err != nil {
			c.t.Fatal(err)
		}
		return
	}
	if err := c.Blobs().PutWhole(c.t.Context(), []byte(content), nil); err != nil {
		c.t.Fatal(err)
	}
	release := fleet.Release{App: named(name), Manifest: fleet.DigestOf([]byte(content)), Prune: true}
	if _, err := c.Released(c.t.Context(), c.generations[name], fleet.Revision(revision), release); err != nil {
		c.t.Fatal(err)
	}
}

// rollChanged steps the Apps about which something changed since the last time, as the engine does, until nothing does.
// It returns those whose rows were written, in order.
func (c *chain) rollChanged() (written []string) {
	c.t.Helper()
	for range 10 {
		apps, next, err := c.AppsChanged(c.t.Context(), c.since)
		if err != nil {
			c.t.Fatal(err)
		}
		wrote := false
		slices.SortFunc(apps, func(a, b fleet.Key) int { return -a.Compare(b) }) // what depends before what it depends on
		for _, app := range apps {
			rows, err := c.Roll(c.t.Context(), app, rollout.Next)
			if err != nil {
				c.t.Fatal(err)
			}
			if rows > 0 {
				written, wrote = append(written, app.Name), true
			}
		}
		c.since = next
		if !wrote {
			c.quiet()
			return written
		}
	}
	c.t.Fatal("it does not settle")
	return nil
}

func (c *chain) quiet() {
	c.t.Helper()
	c.since = c.bundle.quiet(c.since)
}

// quiet waits until nothing has changed since a horizon, and returns the next: as long as other transactions of the database
// server run, what changed before is told again.
func (b *bundle) quiet(since fleet.Horizon) fleet.Horizon {
	b.t.Helper()
	lab.Eventually(b.t, time.Minute, "nothing is told again", func() error {
		apps, next, err := b.AppsChanged(b.t.Context(), since)
		since = next
		if err == nil && len(apps) > 0 {
			err = fmt.Errorf("told of %v", apps)
		}
		return err
	})
	return since
}

// runs is what the cluster is to run of an App; empty: nothing.
func (c *chain) runs(name string, contents ...string) string {
	c.t.Helper()
	instances, _, err := c.Instances(c.t.Context(), fleet.InstanceQuery{Kind: "Kustomization", Name: name})
	if err != nil {
		c.t.Fatal(err)
	}
	if len(instances) == 0 {
		return ""
	}
	for _, content := range contents {
		if instances[0].Assignment.Release.Manifest == fleet.DigestOf([]byte(content)) {
			return content
		}
	}
	return "something else"
}

func TestDependentGetsItsReleaseOnceItsDependencyIsAtTheRevision(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	c.built("b", "main@sha1:1", "b1")
	c.rollChanged()
	if got := c.runs("b", "b1"); got != "" {
		t.Errorf("before a is built b runs %q", got)
	}
	c.built("a", "main@sha1:1", "a1")
	if c.rollChanged(); c.runs("a", "a1") != "a1" || c.runs("b", "b1") != "b1" { // in any order: the spoke has a first
		t.Errorf("a runs %q, b %q", c.runs("a", "a1"), c.runs("b", "b1"))
	}

	// Both change: b, built first, waits.
	c.built("b", "main@sha1:2", "b2")
	if got := c.rollChanged(); len(got) != 0 || c.runs("b", "b1", "b2") != "b1" {
		t.Errorf("before a is there rows of %v were written, b runs %s", got, c.runs("b", "b1", "b2"))
	}
	c.built("a", "main@sha1:2", "a2")
	if got := c.rollChanged(); !slices.Equal(got, []string{"a", "b"}) || c.runs("b", "b2") != "b2" {
		t.Errorf("then rows of %v were written", got)
	}

	// Only b: a is at the revision as it is.
	c.built("a", "main@sha1:3", "a2")
	c.built("b", "main@sha1:3", "b3")
	if got := c.rollChanged(); !slices.Equal(got, []string{"b"}) || c.runs("b", "b3") != "b3" {
		t.Errorf("of a commit to b rows of %v were written", got)
	}

	// Only b, which is built before it is known that a is not touched.
	c.built("b", "main@sha1:3b", "b3b")
	if got := c.rollChanged(); len(got) != 0 {
		t.Errorf("before a is known to be there rows of %v were written", got)
	}
	c.built("a", "main@sha1:3b", "a2")
	if got := c.rollChanged(); !slices.Equal(got, []string{"b"}) || c.runs("b", "b3b") != "b3b" {
		t.Errorf("then rows of %v were written", got)
	}

	// Only a: nothing is sent to b.
	c.built("b", "main@sha1:4", "b3b")
	c.built("a", "main@sha1:4", "a4")
	if got := c.rollChanged(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("of a commit to a rows of %v were written", got)
	}

	// a cannot be built.
	c.built("a", "main@sha1:5", "")
	c.built("b", "main@sha1:5", "b5")
	if got := c.rollChanged(); len(got) != 0 || c.runs("b", "b3b") != "b3b" {
		t.Errorf("of a commit that breaks a rows of %v were written, b runs %s", got, c.runs("b", "b3b", "b5"))
	}
	c.built("b", "main@sha1:6", "b5")
	c.built("a", "main@sha1:6", "a6")
	if got := c.rollChanged(); !slices.Equal(got, []string{"a", "b"}) || c.runs("b", "b5") != "b5" {
		t.Errorf("when it is mended rows of %v were written", got)
	}
}

func TestDependencyThatIsSuspendedOrElsewhereOrOfAnotherSource(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(c *chain)
		want   string // what b runs
	}{
		"it is suspended before the revision": {func(c *chain) { c.declare("a", "", `,"suspend":true`) }, "b1"},
		"it does not exist": {func(c *chain) {
			c.declare("b", "", `,"dependsOn":[{"name":"nobody"}]`)
		}, "b2"}, // its spoke says so
		"it is of another Source": {func(c *chain) { c.declare("a", "", `,"path":"x"`); c.other("a") }, "b2"},
		"its expression is the spoke's": {func(c *chain) {
			c.declare("b", "", `,"dependsOn":[{"name":"a","readyExpr":"dep.spec.suspend == false"}]`)
		}, "b2"},
		"the annotation names it": {func(c *chain) {
			c.declare("b", `,"annotations":{"fleet.flotilla.dev/depends-on":"Kustomization/apps/a"}`, "")
		}, "b1"},
		"nothing is": {func(c *chain) { c.declare("b", "", "") }, "b2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newChain(t)
			c.built("a", "main@sha1:1", "a1")
			c.built("b", "main@sha1:1", "b1")
			c.rollChanged()
			test.change(c)
			c.built("b", "main@sha1:2", "b2")
			c.rollChanged()
			if got := c.runs("b", "b1", "b2"); got != test.want {
				t.Errorf("b runs %s", got)
			}
		})
	}
}

// other has an App be of another Source.
func (c *chain) other(name string) {
	c.t.Helper()
	c.apply(strings.Replace(gitYAML, `"name":"app"`, `"name":"other"`, 1))
	c.apply(strings.Replace(kustomization(name, "", ""), `"name":"app"}`, `"name":"other"}`, 1))
}

func TestDependencyThatIsNotPlacedInAClusterHoldsNothingBackThere(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	c.apply(placementYAML(`{"apps":[{"kind":"Kustomization","name":"b"}],"clusters":{"selector":{}}}`))
	c.built("a", "main@sha1:1", "a1")
	c.built("b", "main@sha1:1", "b1")
	if got := c.rollChanged(); !slices.Equal(got, []string{"b"}) {
		t.Errorf("rows of %v were written", got)
	}
}

func TestDeclarationGoesToTheSpokesWhereAnExpressionLooksAtIt(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	c.built("a", "main@sha1:1", "a1")
	c.built("b", "main@sha1:1", "b1")
	c.rollChanged()
	declared := func(name string) *fleet.Declared {
		found, _, err := c.Instances(t.Context(), fleet.InstanceQuery{Kind: "Kustomization", Name: name})
		if err != nil || len(found) != 1 {
			t.Fatalf("%v, %v", found, err)
		}
		return found[0].Assignment.Declared
	}
	if declared("a") != nil || declared("b") != nil {
		t.Error("nobody looks at them, and they are sent")
	}
	c.declare("b", `,"labels":{"v":"2"}`, `,"dependsOn":[{"name":"a","readyExpr":"dep.metadata.generation == 1"}]`)
	if got := c.rollChanged(); !slices.Contains(got, "a") || !slices.Contains(got, "b") {
		t.Errorf("rows of %v were written", got)
	}
	if d := declared("a"); d == nil || d.Generation != 1 || d.Observed != 1 || !strings.Contains(string(d.Spec), `"prune"`) {
		t.Errorf("of a is sent %+v", d)
	}
	if d := declared("b"); d == nil || d.Generation != 2 || d.Observed != 1 || d.Labels["v"] != "2" {
		t.Errorf("of b is sent %+v", d)
	}
	c.declare("a", `,"labels":{"new":"yes"}`, "")
	if got := c.rollChanged(); !slices.Equal(got, []string{"a"}) || declared("a").Labels["new"] != "yes" {
		t.Errorf("rows of %v were written", got)
	}
	c.declare("b", "", `,"dependsOn":[{"name":"a"}]`)
	c.since = 0 // as every App is looked at now and then
	c.rollChanged()
	if declared("a") != nil || declared("b") != nil {
		t.Error("nobody looks at them any more, and they are sent")
	}
}

func TestCycleOfDependenciesIsRefusedByName(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	try := func(ctx context.Context, text string, order fleet.Order) error {
		_, _, _, err := c.ApplyObject(ctx, admin, object(t, text), order)
		return err
	}
	for name, test := range map[string]struct{ declaration, want string }{
		"of two":                 {kustomization("a", "", `,"dependsOn":[{"name":"b","namespace":"apps"}]`), "spec.dependsOn: each of these would wait for the next, for ever: apps/a -> apps/b -> apps/a"},
		"of itself":              {kustomization("c", "", `,"dependsOn":[{"name":"c"}]`), "apps/c -> apps/c"},
		"through the annotation": {kustomization("a", `,"annotations":{"fleet.flotilla.dev/depends-on":"HelmRelease/apps/b, Kustomization/apps/b"}`, ""), "apps/a -> apps/b -> apps/a"},
		"with an expression":     {kustomization("a", "", `,"dependsOn":[{"name":"b","readyExpr":"true"}]`), "apps/a -> apps/b -> apps/a"},
	} {
		for _, order := range []fleet.Order{{}, {DryRun: true}} {
			if err := try(t.Context(), test.declaration, order); !errors.Is(err, fleet.ErrInvalid) || !strings.HasSuffix(fmt.Sprint(err), test.want) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	c.declare("c", "", `,"dependsOn":[{"name":"b"},{"name":"a"}]`)
	if err := try(t.Context(), kustomization("a", "", `,"dependsOn":[{"name":"z"},{"name":"c"}]`), fleet.Order{}); err == nil || !strings.HasSuffix(err.Error(), "apps/a -> apps/c -> apps/a") {
		t.Errorf("the shortest of two: %v", err)
	}
	c.declare("d", "", `,"dependsOn":[{"name":"a"}]`)
	c.declare("c", "", `,"dependsOn":[{"name":"b"}]`)
	for _, order := range []string{`{"name":"c"},{"name":"d"}`, `{"name":"d"},{"name":"c"}`} {
		if err := try(t.Context(), kustomization("a", "", `,"dependsOn":[`+order+`]`), fleet.Order{}); err == nil || !strings.HasSuffix(err.Error(), "apps/a -> apps/d -> apps/a") {
			t.Errorf("the shortest of two, on %s: %v", order, err)
		}
	}
	c.declare("b", "", "")
	c.declare("a", "", `,"dependsOn":[{"name":"b"}]`) // the other way round it is none
	if _, err := c.DeleteObject(t.Context(), admin, resource.Deletion{Kind: "Kustomization", Namespace: "apps", Name: "a"}); err != nil {
		t.Fatal(err)
	}
	c.declare("b", "", `,"dependsOn":[{"name":"a"}]`) // of what is deleted it is none either
}

func TestCycleOfWhichTwoAppsAreDeclaredAtOnceIsRefusedToOne(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	for range 20 {
		c.declare("a", "", "")
		c.declare("b", "", "")
		declarations := []*resource.Object{
			object(t, kustomization("a", "", `,"dependsOn":[{"name":"b"}]`)), object(t, kustomization("b", "", `,"dependsOn":[{"name":"a"}]`)),
		}
		refused := make(chan error)
		for _, declared := range declarations {
			go func() {
				_, _, _, err := c.ApplyObject(t.Context(), admin, declared, fleet.Order{})
				refused <- err
			}()
		}
		first, second := <-refused, <-refused
		if (first == nil) == (second == nil) || !errors.Is(errors.Join(first, second), fleet.ErrInvalid) {
			t.Fatalf("want one of them refused: %v; %v", first, second)
		}
	}
}

func TestDependenciesOfAnAnnotationMayStandOnLinesOfTheirOwn(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	c.declare("b", `,"annotations":{"fleet.flotilla.dev/depends-on":"HelmRelease/apps/x,\n\tKustomization/apps/a\r\n"}`, "")
	c.built("b", "main@sha1:1", "b1")
	if c.rollChanged(); c.runs("b", "b1") != "" {
		t.Errorf("before a is built b runs %q", c.runs("b", "b1"))
	}
	c.built("a", "main@sha1:1", "a1")
	if c.rollChanged(); c.runs("b", "b1") != "b1" {
		t.Errorf("then b runs %q", c.runs("b", "b1"))
	}
	cycle := object(t, kustomization("a", "", `,"dependsOn":[{"name":"b"}]`))
	if _, _, _, err := c.ApplyObject(t.Context(), admin, cycle, fleet.Order{}); !errors.Is(err, fleet.ErrInvalid) {
		t.Errorf("a cycle through it: %v", err)
	}
}

// YAML with nothing behind a colon is null.
func TestFieldsThatAreNullAreNone(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	for _, declared := range []string{
		`{"apiVersion":"fleet.flotilla.dev/v1alpha1","kind":"Cluster","metadata":{"name":"dev-1","labels":null,"annotations":null},"spec":null}`,
		strings.Replace(gitYAML, `"spec":{`, `"spec":{"suspend":null,"secretRef":null,`, 1),
		placementYAML(`{"apps":[{"kind":"Kustomization","name":"a"},{"kind":"Kustomization","name":"b"}],"clusters":{"selector":{},"names":null},"overrides":null}`),
	} {
		c.apply(declared)
	}
	c.declare("a", `,"annotations":{"fleet.flotilla.dev/depends-on":null}`, `,"dependsOn":null,"suspend":null`)
	c.declare("b", "", `,"dependsOn":[{"name":"a","namespace":null,"readyExpr":null}]`)
	c.built("b", "main@sha1:1", "b1")
	c.rollChanged()
	if got := c.runs("b", "b1"); got != "" {
		t.Errorf("before a is built b runs %q", got)
	}
	c.built("a", "main@sha1:1", "a1")
	c.rollChanged()
	if c.runs("a", "a1") != "a1" || c.runs("b", "b1") != "b1" {
		t.Errorf("a runs %q, b %q", c.runs("a", "a1"), c.runs("b", "b1"))
	}
	if _, _, err := c.Suspend(t.Context(), admin, "Kustomization", "apps", "a", false); err != nil {
		t.Error(err)
	}
}

func TestAnnotationThatIsPartOfTheReleaseGrowsTheGeneration(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	c.declare("a", `,"annotations":{"else":"1"}`, "")
	if c.generations["a"] != 1 {
		t.Errorf("another annotation: generation %d", c.generations["a"])
	}
	c.declare("a", `,"annotations":{"fleet.flotilla.dev/prune-guard":"off"}`, "")
	c.declare("a", `,"annotations":{"fleet.flotilla.dev/prune-guard":"off","fleet.flotilla.dev/depends-on":"HelmRelease/apps/x"}`, "")
	if c.generations["a"] != 3 {
		t.Errorf("two that count: generation %d", c.generations["a"])
	}
}
