package release_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/release"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/test/lab"
)

func TestCommitBuildsOnlyTheAppsWhoseInputsItTouches(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	config := func(name, value string) string { return fmt.Sprintf(configMap, name, value) }
	files := map[string]string{
		"based/kustomization.yaml": "resources: [../base, own.yaml]\n",
		"based/own.yaml":           config("own", "1"),
		"base/kustomization.yaml":  "resources: [a.yaml]\n",
		"base/a.yaml":              config("a", "1"),
		"scanned/b.yaml":           config("b", "1"),
		"other/c.yaml":             config("c", "1"),
		"far/away/readme":          "1",
	}
	names := []string{"based", "scanned", "other"}
	b.applyGit("app", "")
	for _, name := range names {
		b.applyApp(name, name)
	}
	// releases are the Apps' Releases after each step.
	releases := map[string]map[string]fleet.Digest{}
	results := []string{"built", "found", "failed", "postponed"}
	before := ""
	for _, step := range []struct {
		name   string
		write  map[string]string
		remove []string
		// counts are of results, in their order.
		counts [4]float64
		// moves are the Apps that get another Release than they had after the step of, or else the one before.
		moves []string
		of    string
		// broken does not build.
		broken string
	}{
		{name: "first", write: files, counts: [4]float64{3, 0, 0, 0}},
		{name: "nothing of any App", write: map[string]string{"far/away/readme": "2"}, counts: [4]float64{0, 3, 0, 0}},
		{name: "one App", write: map[string]string{"other/c.yaml": config("c", "2")}, counts: [4]float64{1, 2, 0, 0}, moves: []string{"other"}},
		{name: "a file of a base", write: map[string]string{"base/a.yaml": config("a", "2")}, counts: [4]float64{1, 2, 0, 0}, moves: []string{"based"}},
		{name: "a file beside those of a base", write: map[string]string{"base/unused.yaml": config("u", "1")}, counts: [4]float64{0, 3, 0, 0}},
		{name: "a file that no kustomization lists", write: map[string]string{"based/unused.yaml": config("u", "1")}, counts: [4]float64{0, 3, 0, 0}},
		{name: "a file in a scanned directory", write: map[string]string{"scanned/d.yaml": config("d", "1")}, counts: [4]float64{1, 2, 0, 0}, moves: []string{"scanned"}},
		{name: "a directory in a scanned one", write: map[string]string{"scanned/sub/e.yaml": config("e", "1")}, counts: [4]float64{1, 2, 0, 0}, moves: []string{"scanned"}},
		{name: "a renamed directory of no App", write: map[string]string{"farther/readme": "2"}, remove: []string{"far"}, counts: [4]float64{0, 3, 0, 0}},
		{name: "a second kustomization file", write: map[string]string{"based/kustomization.yml": "resources: [own.yaml]\n"}, counts: [4]float64{0, 2, 1, 0}, broken: "based"},
		{name: "and away again", remove: []string{"based/kustomization.yml"}, counts: [4]float64{0, 3, 0, 0}},
		{name: "an older file of one App", write: map[string]string{"other/c.yaml": config("c", "1")}, counts: [4]float64{0, 3, 0, 0}, of: "first", moves: []string{"based", "scanned"}},
		{name: "an older directory", remove: []string{"scanned/d.yaml", "scanned/sub"}, counts: [4]float64{0, 3, 0, 0}, of: "first", moves: []string{"based"}},
	} {
		var counts [4]float64
		for i, result := range results {
			counts[i] = -b.metric("flotilla_hub_builds_total", result)
		}
		for _, path := range step.remove {
			if err := b.repo.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
		hash := b.push(step.write)
		b.reconcile("app")
		now := map[string]fleet.Digest{}
		for _, name := range names {
			check := at(hash)
			if name == step.broken {
				check = failing("kustomization")
			}
			now[name] = b.eventually(name, check).Release
		}
		releases[step.name] = now
		for i, result := range results {
			counts[i] += b.metric("flotilla_hub_builds_total", result)
		}
		if counts != step.counts {
			t.Errorf("%s: %v are %v, want %v", step.name, counts, results, step.counts)
		}
		if step.of == "" {
			step.of = before
		}
		for _, name := range names {
			if moved := now[name] != releases[step.of][name]; moved != slices.Contains(step.moves, name) && before != "" {
				t.Errorf("%s: %s has another Release than after %q: %t", step.name, name, step.of, moved)
			}
		}
		before = step.name
	}
}

// A revert is a commit whose files were built before, whatever builds looked at since and whoever made them.
func TestRevertBuildsNothing(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	config := func(name, value string) string { return fmt.Sprintf(configMap, name, value) }
	first := map[string]string{
		"listed/kustomization.yaml": "resources: [../base]\nnamePrefix: p-\n", "base/kustomization.yaml": "resources: [a.yaml]\n", "base/a.yaml": config("a", "1"),
		"scanned/b.yaml": config("b", "1"), "secret/kustomization.yaml": "resources: [../base]\nsecretGenerator: [{name: s, envs: [s.env]}]\n", "secret/s.env": sopsEnv,
	}
	hash := b.push(first)
	b.applyGit("app", "")
	names := []string{"listed", "scanned", "secret"}
	b.applyApp("listed", "listed")
	b.applyApp("scanned", "scanned")
	b.apply(`{"apiVersion":"kustomize.toolkit.fluxcd.io/v1","kind":"Kustomization","metadata":{"name":"secret","namespace":"apps"},"spec":{"interval":"10m","prune":true,"path":"secret",
		"decryption":{"provider":"sops"},"sourceRef":{"kind":"GitRepository","name":"app"}}}`)
	at1 := map[string]fleet.Digest{}
	for _, name := range names {
		at1[name] = b.eventually(name, at(hash)).Release
	}
	for i := range 3 { // other files each time
		n := fmt.Sprint(i)
		hash = b.push(map[string]string{
			"base/kustomization.yaml": "resources: [a.yaml, n" + n + ".yaml]\n", "base/n" + n + ".yaml": config("n"+n, n), "scanned/n" + n + ".yaml": config("n"+n, n), "elsewhere": n,
		})
		b.reconcile("app")
		for _, name := range names {
			b.eventually(name, at(hash))
		}
	}
	revert := func() {
		t.Helper()
		built, found := b.metric("flotilla_hub_builds_total", "built"), b.metric("flotilla_hub_builds_total", "found")
		for i := range 3 {
			if err := b.repo.Remove(fmt.Sprint("scanned/n", i, ".yaml")); err != nil {
				t.Fatal(err)
			}
		}
		hash := b.push(map[string]string{"base/kustomization.yaml": first["base/kustomization.yaml"]})
		b.reconcile("app")
		for _, name := range names {
			if now := b.eventually(name, at(hash)).Release; now != at1[name] {
				t.Errorf("%s is not at the Release that it had", name)
			}
		}
		built, found = b.metric("flotilla_hub_builds_total", "built")-built, b.metric("flotilla_hub_builds_total", "found")-found
		if built != 0 || found != 3 {
			t.Errorf("%v builds, %v found", built, found)
		}
	}
	revert()
	files := map[string]string{"base/kustomization.yaml": "resources: [a.yaml, n0.yaml, n1.yaml]\n"}
	for i := range 3 {
		files[fmt.Sprint("scanned/n", i, ".yaml")] = config(fmt.Sprint("m", i), "9")
	}
	hash = b.push(files)
	b.reconcile("app")
	for _, name := range names {
		b.eventually(name, at(hash))
	}
	b.restart(false) // another replica, which has built nothing
	revert()
}

const sopsEnv = "PASSWORD=ENC[AES256_GCM,data:eA==,type:str]\nsops_mac=ENC[AES256_GCM,data:eA==,type:str]\n"

// What an App's last build looked at is no more than a hint: one that is broken costs that App a build, and no other
// anything.
func TestAppWhoseInputsCannotBeReadIsBuiltAndTheOthersAreFound(t *testing.T) {
	t.Parallel()
	var breaking breakingInputs
	b := newBundleWith(t, func(c *release.Config) {
		breaking.Store = c.Store
		c.Store = &breaking
	})
	b.applyGit("app", "")
	hash := b.push(map[string]string{"a/a.yaml": fmt.Sprintf(configMap, "a", "1"), "b/b.yaml": fmt.Sprintf(configMap, "b", "1")})
	for _, name := range []string{"a", "b"} {
		b.applyApp(name, name)
		b.eventually(name, at(hash))
	}
	breaking.app.Store("a")
	hash = b.push(map[string]string{"readme": "new"})
	b.reconcile("app")
	for _, name := range []string{"a", "b"} {
		b.eventually(name, at(hash))
	}
	built, found, postponed := b.metric("flotilla_hub_builds_total", "built"), b.metric("flotilla_hub_builds_total", "found"), b.metric("flotilla_hub_builds_total", "postponed")
	if built != 3 || found != 1 || postponed != 0 {
		t.Errorf("%v were built, %v found, %v postponed", built, found, postponed)
	}
}

// breakingInputs breaks what the builds of one App looked at.
type breakingInputs struct {
	release.Store
	app atomic.Value
}

func (s *breakingInputs) BuildInputs(ctx context.Context, recipes map[fleet.Key]fleet.Digest) ([]fleet.BuildInputs, error) {
	found, err := s.Store.BuildInputs(ctx, recipes)
	for i := range found {
		if found[i].App.Name == s.app.Load() {
			found[i].Inputs = []byte("broken")
		}
	}
	return found, err
}

// A branch that is merged is built already: what the builds of the other Source looked at is known.
func TestBuildOfAnotherSourceOfTheNamespaceIsFound(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	next := b.newRepo("next")
	files := map[string]string{"deploy/a.yaml": fmt.Sprintf(configMap, "a", "1"), "readme": "old"}
	hash := b.push(files)
	files["readme"] = "new"
	other := b.pushTo(next, files)
	b.applyGit("app", "")
	b.applySource("next", b.server.URL("next"), "")
	b.applyApp("app", "deploy")
	b.eventually("app", at(hash))
	b.applyAppOn("next", "next", "deploy")
	b.eventually("next", at(other))
	if built := b.metric("flotilla_hub_builds_total", "built"); built != 1 {
		t.Errorf("%v builds of the same files", built)
	}
}

// What an App's own last build looked at is tried, however many others there are with its recipe.
func TestAppsOfTheSamePathInManyRepositoriesAreNotBuiltAgain(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	const many = 6
	var repos []*lab.Repo
	for i := range many {
		name := fmt.Sprint("repo-", i)
		repos = append(repos, b.newRepo(name))
		hash := b.pushTo(repos[i], map[string]string{fmt.Sprintf("deploy/%d.yaml", i): fmt.Sprintf(configMap, "a", "1")})
		b.applySource(name, b.server.URL(name), "")
		b.applyAppOn(name, name, "deploy")
		b.eventually(name, at(hash))
	}
	for i := range many {
		name := fmt.Sprint("repo-", i)
		hash := b.pushTo(repos[i], map[string]string{"readme": "1"})
		b.reconcile(name)
		b.eventually(name, at(hash))
	}
	if built := b.metric("flotilla_hub_builds_total", "built"); built != many {
		t.Errorf("%v builds of %d Apps", built, many)
	}
}

func TestBuildsAreNotSharedBetweenNamespaces(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	hash := b.push(map[string]string{"deploy/a.yaml": fmt.Sprintf(configMap, "a", "1")})
	b.applyGit("app", "")
	b.applyApp("app", "deploy")
	b.eventually("app", at(hash))
	for _, declared := range []string{
		`{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":"GitRepository","metadata":{"name":"app","namespace":"tenant"},"spec":{"interval":"10m","url":"` + b.server.URL("app") + `","ref":{"branch":"main"}}}`,
		`{"apiVersion":"kustomize.toolkit.fluxcd.io/v1","kind":"Kustomization","metadata":{"name":"app","namespace":"tenant"},"spec":{"interval":"10m","prune":true,"path":"deploy","sourceRef":{"kind":"GitRepository","name":"app"}}}`,
	} {
		b.apply(declared)
	}
	tenant := key("app")
	tenant.Namespace = "tenant"
	b.eventuallyKey(tenant, at(hash))
	if built := b.metric("flotilla_hub_builds_total", "built"); built != 2 {
		t.Errorf("%v builds for two namespaces", built)
	}
}

func TestTwoReplicasBuildOnceWhatACommitTouches(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	second := b.replica(nil)
	files := map[string]string{}
	for i := range 20 {
		files[fmt.Sprintf("app-%d/a.yaml", i)] = fmt.Sprintf(configMap, fmt.Sprint("a", i), "1")
	}
	hash := b.push(files)
	b.applyGit("app", "")
	for i := range 20 {
		b.applyApp(fmt.Sprint("app-", i), fmt.Sprint("app-", i))
	}
	built := func() float64 {
		return b.metric("flotilla_hub_builds_total", "built") + metric(t, second.registry, "flotilla_hub_builds_total", "built")
	}
	all := func(hash string) {
		t.Helper()
		for i := range 20 {
			b.eventually(fmt.Sprint("app-", i), at(hash))
		}
	}
	all(hash)
	if built() != 20 {
		t.Errorf("%v builds of 20 Apps", built())
	}
	hash = b.push(map[string]string{"app-7/a.yaml": fmt.Sprintf(configMap, "a7", "2")})
	b.reconcile("app")
	all(hash)
	if built() != 21 {
		t.Errorf("%v more builds of one App that was touched", built()-20)
	}
}

// What is measured is what a commit to a large source costs the hub; the builds are counted.
func TestCommitToASourceOfManyAppsIsOneBuild(t *testing.T) {
	t.Parallel()
	const many = 200
	b := newBundle(t)
	files := map[string]string{}
	for i := range many {
		files[fmt.Sprintf("apps/%d/kustomization.yaml", i)] = "resources: [../../base, own.yaml]\n"
		files[fmt.Sprintf("apps/%d/own.yaml", i)] = fmt.Sprintf(configMap, fmt.Sprint("own", i), "1")
	}
	files["base/kustomization.yaml"] = "resources: [a.yaml]\n"
	files["base/a.yaml"] = fmt.Sprintf(configMap, "a", "1")
	hash := b.push(files)
	b.applyGit("app", "")
	began := time.Now()
	for i := range many {
		b.applyApp(fmt.Sprint("app-", i), fmt.Sprint("apps/", i))
	}
	all := func(hash string) {
		t.Helper()
		lab.Eventually(t, 2*time.Minute, "every App", func() error {
			states, err := b.AppStates(t.Context())
			if err == nil && len(states) != many {
				err = fmt.Errorf("%d Apps", len(states))
			}
			for _, state := range states {
				if err == nil {
					err = at(hash)(state)
				}
			}
			return err
		})
	}
	all(hash)
	t.Logf("%d Apps declared and built in %s", many, time.Since(began).Round(time.Millisecond))
	for round, touched := range []int{7, 70, 170} {
		built := b.metric("flotilla_hub_builds_total", "built")
		hash = b.push(map[string]string{fmt.Sprintf("apps/%d/own.yaml", touched): fmt.Sprintf(configMap, fmt.Sprint("own", touched), "2")})
		began = time.Now()
		if _, err := b.RequestReconcile(t.Context(), admin, "GitRepository", "apps", "app", nil, fleet.LookOptions{}); err != nil {
			t.Fatal(err)
		}
		b.eventually(fmt.Sprint("app-", 1), at(hash))
		untouched := time.Since(began)
		all(hash)
		if built = b.metric("flotilla_hub_builds_total", "built") - built; built != 1 {
			t.Errorf("%v builds of one App that was touched", built)
		}
		t.Logf("commit %d: an App that it does not touch is at the revision after %s, all %d after %s", round+1, untouched.Round(time.Millisecond), many, time.Since(began).Round(time.Millisecond))
	}
}
