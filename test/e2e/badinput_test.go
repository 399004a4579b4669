package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"flotilla.dev/flotilla/test/lab"
)

// What is wrong is named by get, by describe and in the log; the last good state stays, drift of it is undone, and other
// Apps go on.
func TestBadCommitIsNamedAndTheLastGoodStateStays(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	a, other := newApp(t, fleet), newApp(t, fleet)
	a.settle()
	m := fleet.Members[0]
	for _, test := range []struct {
		name, content, words string
		program              *lab.Program
	}{
		{"invalid manifest", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad, namespace: " + a.namespace + "}\ndata: {n: 1}\n", "ConfigMap/" + a.namespace + "/bad", m.Spoke},
		{"unknown kind", "apiVersion: example.com/v1\nkind: Nothing\nmetadata: {name: bad, namespace: " + a.namespace + "}\n", "Nothing.example.com/" + a.namespace + "/bad", m.Spoke},
		{"broken YAML", "a: [\n", "deploy/bad.yaml", fleet.Hub},
		{"SOPS-encrypted", "apiVersion: v1\nkind: Secret\nmetadata: {name: bad, namespace: " + a.namespace + "}\nsops: {mac: ENC}\n", "Secret/" + a.namespace + "/bad: it is encrypted with SOPS, and the App has no spec.decryption", fleet.Hub},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, other := a.in(t), other.in(t)
			log := since(test.program)
			a.push(map[string]string{"deploy/bad.yaml": test.content, "deploy/app.yaml": a.configMap("app", test.name)})
			a.lookNow()
			a.says("ks/app", "Ready", "False")
			a.named("ks/app", test.words, log)
			if test.program != fleet.Hub {
				a.named("ks/app@"+m.Name(), test.words, log)
			}
			other.goesOn(test.name)
			for _, m := range fleet.Members {
				a.patch(m, "app", "kubectl-edit", `{"data":{"value":"edited"}}`)
				a.data(m, "app", map[string]string{"value": "first"})
			}
		})
	}
	a.remove("deploy/bad.yaml")
	a.settle()
}

// A Git server that is down, or refuses, is named with what is fetched from it; what was fetched stays in force.
func TestGitServerThatFailsIsNamedAndWhatIsThereStays(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	git := lab.TestGit(t)
	a, other := newAppFrom(t, fleet, git), newApp(t, fleet)
	first := "main@sha1:" + head(a)
	a.settle()
	for _, test := range []struct {
		name, reason, words string
		fail, mend          func(*app)
	}{
		{"down", "GitOperationFailed", "the connection was refused", func(*app) { git.Down() }, func(a *app) {
			if err := git.Up(); err != nil {
				a.t.Fatal(err)
			}
		}},
		{"wrong password", "AuthenticationFailed", "the user or the password is wrong; correct the Secret", func(a *app) {
			if err := git.Protect(a.namespace, "user", "right"); err != nil {
				a.t.Fatal(err)
			}
			a.secret("wrong")
			a.apply(strings.ReplaceAll(a.declared, "ref: {branch: main}", "ref: {branch: main}, secretRef: {name: git}"))
		}, func(a *app) { a.secret("right") }},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, other := a.in(t), other.in(t)
			log := since(fleet.Hub)
			test.fail(a)
			a.lookNow()
			a.says("gitrepo/app", "Ready", "False "+test.reason)
			a.named("gitrepo/app", a.url+": "+test.words, log)
			if text, err := log(); err != nil || !names(text, a.namespace+"/app", a.url) {
				t.Errorf("no line of the log names the GitRepository and the URL, error %v:\n%s", err, text)
			}
			other.goesOn(test.name)
			for _, m := range fleet.Members {
				a.patch(m, "app", "kubectl-edit", `{"data":{"value":"edited"}}`)
				a.data(m, "app", map[string]string{"value": "first"})
				if got := a.ready(m); got != first {
					t.Errorf("ks/app@%s is ready at %q, want %q", m.Name(), got, first)
				}
			}
			if got := a.get("ks/app"); !strings.HasPrefix(got.condition("Ready"), "True") || got.Status.LastAppliedRevision != first {
				t.Errorf("ks/app is shown as %s at %s", got.condition("Ready"), got.Status.LastAppliedRevision)
			}
			test.mend(a)
			a.lookNow()
			a.says("gitrepo/app", "Ready", "True")
		})
	}
	a.repo.Dir = t.TempDir() // the one it had does not know the password
	repo, err := git.Clone(t.Context(), a.namespace, a.repo.Dir)
	if err != nil {
		t.Fatal(err)
	}
	a.repo = repo
	a.push(map[string]string{"deploy/app.yaml": a.configMap("app", "second")})
	a.settle()
	a.data(fleet.Members[0], "app", map[string]string{"value": "second"})
}

// goesOn checks that a commit reaches every cluster, whatever is wrong with another App.
func (a *app) goesOn(value string) {
	a.t.Helper()
	a.push(map[string]string{"deploy/app.yaml": a.configMap("app", value)})
	a.settle()
	for _, m := range a.fleet.Members {
		a.data(m, "app", map[string]string{"value": value})
	}
}

// names reports whether a line has all the words.
func names(text string, words ...string) bool {
	for line := range strings.Lines(text) {
		all := true
		for _, word := range words {
			all = all && strings.Contains(line, word)
		}
		if all {
			return true
		}
	}
	return false
}

// head is the hash of the app's last commit.
func head(a *app) string {
	a.t.Helper()
	hash, err := a.repo.Git(a.t.Context(), "rev-parse", "HEAD")
	if err != nil {
		a.t.Fatal(err)
	}
	return hash
}

// secret gives the hub a Secret "git" with that password.
func (a *app) secret(password string) {
	a.t.Helper()
	a.apply(fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: git, namespace: %s}\nstringData: {username: user, password: %q}\n", a.namespace, password))
}

func TestAppThatAnUnsuspendedFluxManagesIsRefusedByName(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	a, other := newApp(t, fleet), newApp(t, fleet)
	a.settle()
	other.settle()
	m := fleet.Members[0]
	ref, log := "ks/app@"+m.Name(), since(m.Spoke)
	a.flux(m, false)
	a.says(ref, "Ready", "False ManagedByFlux")
	commit := a.push(map[string]string{"deploy/app.yaml": a.configMap("app", "second")})
	a.lookNow()
	for _, m := range fleet.Members[1:] {
		a.fleetctl("wait", "ks/app@"+m.Name(), "--for=ready", "--for=revision="+commit, "--timeout", patience.String())
	}
	wanted := a.get("ks/app@" + fleet.Members[1].Name()).Status.Fleet.Release
	lab.Eventually(t, patience, m.Name()+" refuses the commit", func() error {
		shown := a.get(ref)
		if got := shown.condition("Ready"); !strings.HasPrefix(got, "False ManagedByFlux") || shown.Status.Fleet.Release != wanted {
			return fmt.Errorf("%s at release %s, want %s", got, shown.Status.Fleet.Release, wanted)
		}
		return nil
	})
	a.named(ref, "Kustomization/"+a.namespace+"/app: conflict: a Flux Kustomization of this name in the cluster is not suspended", log)
	if value, err := a.value(m, "app"); value != "first" || err != nil {
		t.Errorf("%s has %q under Flux, error %v", m.Name(), value, err)
	}
	other.push(map[string]string{"deploy/app.yaml": other.configMap("app", "second")})
	other.settle()
	other.data(m, "app", map[string]string{"value": "second"})

	a.flux(m, true)
	a.data(m, "app", map[string]string{"value": "second"})
	a.says(ref, "Ready", "True")
}

func TestSecondPlacementAndUnsupportedFieldsAreRefusedByName(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	a, other := newApp(t, fleet), newApp(t, fleet)
	a.settle()
	kept := a.ending(fleet.Members...)
	for _, test := range []struct {
		object string
		code   int
		words  []string
	}{
		{`{"apiVersion":"fleet.flotilla.dev/v1alpha1","kind":"Placement","metadata":{"name":"second","namespace":"NS"},"spec":{"apps":[{"kind":"Kustomization","name":"app"}],"clusters":{"names":["prod-1"]}}}`,
			8, []string{"Placement/NS/second", "Kustomization/app", "Placement/NS/app"}},
		{`{"apiVersion":"fleet.flotilla.dev/v1alpha1","kind":"Placement","metadata":{"name":"p","namespace":"NS"},"spec":{"apps":[{"kind":"Kustomization","name":"x"}],"clusters":{"names":["prod-1"]},"pace":{"name":"x"}}}`,
			2, []string{"Placement/NS/p", "spec.pace: not supported yet"}},
		{`{"apiVersion":"helm.toolkit.fluxcd.io/v1","kind":"HelmRelease","metadata":{"name":"x","namespace":"NS"},"spec":{}}`,
			2, []string{"HelmRelease x: kind HelmRelease of helm.toolkit.fluxcd.io/v1 is not supported yet"}},
	} {
		for _, words := range test.words {
			a.refusedWith(strings.ReplaceAll(test.object, "NS", a.namespace), test.code, strings.ReplaceAll(words, "NS", a.namespace), "apply", "-f", "-")
		}
		other.goesOn(test.words[0])
	}
	a.refused(3, "not found: pl/second", "get", "placement/second")
	a.says("placement/app", "Ready", "True Placed")
	if got := a.get("ks/app").Status.Fleet; got.Total != 3 || got.Ready != 3 {
		t.Errorf("ks/app is in %+v", got)
	}
	kept.stayed()
}

// What joins or acts without the right to: a cluster with another's token, a second agent, a hub with another key.
func TestIntrudersAreRefusedAndWhatIsThereGoesOn(t *testing.T) {
	t.Parallel()
	fleet := startFleet(t, cluster("prod-1"), lab.FleetCluster{Name: "prod-2", Labels: map[string]string{"tier": "prod"}, Apart: true})
	a := newApp(t, fleet)
	a.settle()
	for _, test := range []struct {
		name string
		run  func(*app)
	}{
		{"a join token that was used", usedToken},
		{"a second agent of the cluster", secondAgent},
		{"a hub with another key", anotherHub},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(a.in(t)) })
	}
}

func usedToken(a *app) {
	first, second := a.fleet.Members[0], a.fleet.Members[1]
	hub := since(a.fleet.Hub)
	// It may end before it can be asked whether it is healthy, or after.
	err := a.fleet.StartSpoke(a.t.Context(), second, first.Token)
	if err == nil {
		err = second.Spoke.Wait(a.t.Context())
	}
	for _, words := range []string{"exit status 1", "was used by another spoke", "make a new one with `fleetctl cluster register`"} {
		if err == nil || !strings.Contains(err.Error(), words) {
			a.t.Errorf("a spoke with another cluster's token ended with %v; want it to say %q", err, words)
		}
	}
	if text, err := hub(); err != nil || !names(text, "enrolment refused", first.Name(), "was used by another spoke") {
		a.t.Errorf("the hub does not tell of it, error %v:\n%s", err, text)
	}
	if out := a.fleet.Fleetctl(a.t.Context(), "describe", "cluster/"+first.Name()); !names(out.Stdout, "Warning", "EnrolmentRefused", "it was used by another spoke") {
		a.t.Errorf("the cluster that the token is for does not tell of it:\n%s%s", out.Stdout, out.Stderr)
	}
	a.push(map[string]string{"deploy/app.yaml": a.configMap("app", "second")})
	a.settle()
	a.data(first, "app", map[string]string{"value": "second"})
	if err := a.fleet.Join(a.t.Context(), second); err != nil { // which was told
		a.t.Fatal(err)
	}
	a.settle()
	a.data(second, "app", map[string]string{"value": "second"})
}

func secondAgent(a *app) {
	m := a.fleet.Members[0]
	byFirst := a.record(m)
	second, err := m.SecondSpoke(a.t.Context(), a.fleet)
	if err != nil {
		a.t.Fatal(err)
	}
	lab.Eventually(a.t, patience, "the second agent waits and says so", func() error {
		log, err := second.Log()
		if err == nil && !strings.Contains(log, "another agent acts for this cluster") {
			err = errors.New(log)
		}
		return err
	})
	a.push(map[string]string{"deploy/app.yaml": a.configMap("app", "third")})
	a.settle()
	a.patch(m, "app", "kubectl-edit", `{"data":{"value":"edited"}}`)
	a.data(m, "app", map[string]string{"value": "third"})
	bySecond := func(r lab.Request) bool { return r.User == lab.SecondSpokeUser && isWrite(r) }
	if got := byFirst.writes().Where(bySecond); len(got) != 0 {
		a.t.Errorf("the waiting agent wrote %v", got)
	}
	a.warned(m, "SecondAgent", "another agent waits to act for this cluster: ")
	m.Spoke.Kill()
	taken := a.record(m)
	a.push(map[string]string{"deploy/app.yaml": a.configMap("app", "fourth")})
	a.lookNow()
	a.data(m, "app", map[string]string{"value": "fourth"})
	a.says("ks/app", "Ready", "True")
	if all, got := taken.writes(), taken.writes().Where(bySecond); len(got) == 0 || len(got) != len(all) {
		a.t.Errorf("%d of %d writes are of the agent that took over: %v", len(got), len(all), all)
	}
}

func anotherHub(a *app) {
	m := a.fleet.Members[1]
	out, err := a.fleet.HubWithAnotherKey(a.t.Context())
	if err == nil || !strings.Contains(out, "the key file is not the one this database was made with") {
		a.t.Errorf("a hub with another key on the database ended with %v:\n%s", err, out)
	}
	log, before, own := since(m.Spoke), a.record(m), a.fleet.Hub
	if err := a.fleet.ReplaceHub(a.t.Context()); err != nil { // at the same address, with a database and a key of its own
		a.t.Fatal(err)
	}
	lab.Eventually(a.t, patience, "the spoke says that this is not its hub", func() error {
		text, err := log()
		if err == nil && !strings.Contains(text, "not the hub that the pin names") {
			err = errors.New("its log does not say so")
		}
		return err
	})
	if got := before.writes(); len(got) != 0 {
		a.t.Errorf("%s wrote %v", m.Name(), got)
	}
	a.patch(m, "app", "kubectl-edit", `{"data":{"value":"edited"}}`)
	a.data(m, "app", map[string]string{"value": "fourth"})
	a.fleet.Hub.Kill()
	a.fleet.Hub = own
	if err := own.Start(a.t.Context()); err != nil {
		a.t.Fatal(err)
	}
	a.warned(m, "AnotherHub", "its key is not the one that this cluster's pin names")
}

// warned waits until people are told of a cluster, and checks that they were told once.
func (a *app) warned(m *lab.Member, reason, words string) {
	a.t.Helper()
	ref := "cluster/" + m.Name()
	lab.Eventually(a.t, patience, ref+" has the event "+reason, func() error {
		out := a.fleet.Fleetctl(a.t.Context(), "describe", ref)
		if err := out.Err(); err != nil {
			return err
		}
		if !names(out.Stdout, "Warning", reason, words) || strings.Count(out.Stdout, reason) != 1 {
			return errors.New(out.Stdout)
		}
		return nil
	})
}
