package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/test/lab"
)

// canaryFirst are waves over the lab's three clusters: canary-1, then both of prod at once.
const canaryFirst = `
  waves:
    - {name: canary, select: {matchLabels: {tier: canary}}}
    - {name: prod, maxConcurrent: 100%}
  maxUnavailable: 100%
`

// byPolicy has the app's Placement name the policy of that name, as a pair of changes of newApp.
func byPolicy(name string) []string {
	return []string{"spec:\n  apps: [", "spec:\n  rolloutPolicyRef: {name: " + name + "}\n  apps: ["}
}

// newRolled is newApp with a policy, whose name no other test has, and returns when its first Rollout has succeeded.
func newRolled(t testing.TB, fleet *lab.Fleet, policy, spec string, changes ...string) *app {
	t.Helper()
	a := &app{t: t, fleet: fleet}
	a.policy(policy, spec)
	a = newApp(t, fleet, append(byPolicy(policy), changes...)...)
	a.succeeds("")
	return a
}

// policy declares a RolloutPolicy.
func (a *app) policy(name, spec string) {
	a.t.Helper()
	declared := "apiVersion: fleet.flotilla.dev/v1alpha1\nkind: RolloutPolicy\nmetadata: {name: " + name + "}\nspec:\n" + strings.TrimLeft(spec, "\n")
	if err := a.fleet.Apply(a.t.Context(), declared); err != nil {
		a.t.Fatal(err)
	}
}

// web is the Deployment of the app, at a version: with annotations of its Pods it may fail.
func (a *app) web(version, annotations string) map[string]string {
	text := fmt.Sprintf(deployment, a.namespace, annotations)
	return map[string]string{
		"deploy/web.yaml": strings.Replace(text, "web:2", "web:"+version, 1),
		"deploy/app.yaml": a.configMap("app", version),
	}
}

// rolls pushes files and has the hub look at the repository.
func (a *app) rolls(files map[string]string) (commit string) {
	a.t.Helper()
	commit = a.push(files)
	a.lookNow()
	return commit
}

// succeeds waits until the Rollout of a commit has succeeded; empty: the App's newest.
func (a *app) succeeds(commit string) { a.t.Helper(); a.ends(commit, 0, "succeeded") }

// ends waits until the Rollout of a commit has ended, or needs a person: by fleetctl's exit code, with the words that it says.
func (a *app) ends(commit string, code int, words string) {
	a.t.Helper()
	args := []string{"rollout", "wait", "ks/app", "--timeout", patience.String(), "-n", a.namespace}
	if commit != "" {
		args = append(args, "--revision", commit)
	} else {
		lab.Eventually(a.t, patience, "a Rollout begins", func() error {
			return a.fleet.Fleetctl(a.t.Context(), "rollout", "status", "ks/app", "--watch=false", "-n", a.namespace).Err()
		})
	}
	out := a.fleet.Fleetctl(a.t.Context(), args...)
	if said := out.Stdout + out.Stderr; out.Code != code || !strings.Contains(said, words) {
		a.t.Fatalf("rollout wait: exit code %d, want %d and %q; it said\n%s", out.Code, code, words, said)
	}
}

// rolling is what fleetctl tells of a Rollout.
type rolling struct {
	ID, Phase, Reason, Message, Verdict, Direction string

	Wave   int
	Totals struct{ Size, Succeeded, Failed, Deferred, RolledBack, HadFailed int }
	Waves  []struct {
		Name, Phase   string
		Before, After []struct{ Name, Phase, Detail string }
	}
	Clusters []struct{ Cluster, Phase, Failure, Message, WaitsFor string }
}

// cluster is what is told of one: "Failed DeadlineExceeded".
func (r rolling) cluster(name string) string {
	for _, c := range r.Clusters {
		if c.Cluster == name {
			return strings.TrimSpace(c.Phase + " " + c.Failure)
		}
	}
	return ""
}

func (r rolling) String() string {
	return fmt.Sprintf("%s: %s %s %s; wave %d; %+v", r.ID, r.Phase, r.Reason, r.Message, r.Wave, r.Clusters)
}

// rollout is the App's Rollout under way, or else the newest.
func (a *app) rollout() (r rolling, err error) { return a.rolloutOf("ks/app") }

func (a *app) rolloutOf(ref string) (r rolling, err error) {
	out := a.fleet.Fleetctl(a.t.Context(), "rollout", "status", ref, "--watch=false", "-o", "json", "-n", a.namespace)
	if out.Stdout == "" {
		return r, errors.New(out.Stderr)
	}
	return r, json.Unmarshal([]byte(out.Stdout), &r)
}

// rollsUntil waits until the App's Rollout is as it should be.
func (a *app) rollsUntil(what string, is func(rolling) bool) rolling {
	a.t.Helper()
	var last rolling
	lab.Eventually(a.t, patience, what, func() error {
		r, err := a.rollout()
		if last = r; err == nil && !is(r) {
			err = errors.New(r.String())
		}
		return err
	})
	return last
}

// runs fails the test where a cluster does not run a version.
func (a *app) runs(m *lab.Member, version string) {
	a.t.Helper()
	if got, err := a.value(m, "app"); got != version {
		a.t.Errorf("%s runs %q, want %q, error %v", m.Name(), got, version, err)
	}
}

// touched is what says whether anything in the app's namespace of a cluster was written.
func (a *app) touched(m *lab.Member) string {
	a.t.Helper()
	versions := fmt.Sprint(a.objects(m))
	deployments, err := a.client(m).AppsV1().Deployments(a.namespace).List(a.t.Context(), metav1.ListOptions{})
	if err != nil {
		a.t.Fatal(err)
	}
	for _, d := range deployments.Items {
		versions += fmt.Sprintf(" %s at generation %d", d.Name, d.Generation)
	}
	return versions
}

// A commit whose Deployment never becomes ready is stopped at the canary, which comes back by itself. No other cluster is
// touched, and the commit never begins again.
func TestBadRevisionIsStoppedAtTheCanaryAndTakenBack(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	a := newRolled(t, fleet, "bad-revision", canaryFirst+`
  cluster: {progressDeadline: 15s}
  onFailure: {action: Rollback}
`)
	canary, prod := fleet.Member("canary-1"), []*lab.Member{fleet.Member("prod-1"), fleet.Member("prod-2")}
	a.succeeds(a.rolls(a.web("1", "")))
	before := map[string]string{}
	for _, m := range prod {
		a.runs(m, "1")
		before[m.Name()] = a.touched(m)
	}

	bad := a.rolls(a.web("2", "demo/fail: image"))
	a.ends(bad, 7, "rolled back")
	r, err := a.rollout()
	if err != nil {
		t.Fatal(err)
	}
	if r.Phase != "RolledBack" || r.Verdict != "Bad" || !strings.HasPrefix(r.cluster("canary-1"), "RolledBack ") || r.Totals.HadFailed != 1 || !strings.Contains(r.Message, "ImagePull") {
		t.Errorf("after a bad commit: %s, verdict %q", r, r.Verdict)
	}
	a.runs(canary, "1")
	a.says("ks/app@canary-1", "Ready", "True")
	for _, m := range prod {
		if now := a.touched(m); now != before[m.Name()] {
			t.Errorf("%s was touched: %s\nwas %s", m.Name(), now, before[m.Name()])
		}
		if r.cluster(m.Name()) != "Pending" {
			t.Errorf("%s is %q", m.Name(), r.cluster(m.Name()))
		}
	}

	a.lookNow() // what was bad stays so, however often somebody looks
	a.refused(7, "rolled back", "rollout", "wait", "ks/app", "--revision", bad)
	a.succeeds(a.rolls(a.web("3", "")))
	for _, m := range fleet.Members {
		a.runs(m, "3")
	}
	a.rolls(a.web("2", "demo/fail: image")) // the same objects: the same Release
	lab.Eventually(t, patience, "the bad Release is refused", func() error {
		if told := a.fleetctl("events", "--for", "ks/app"); !strings.Contains(told, "CandidateIsBad") {
			return errors.New(told)
		}
		return nil
	})
	if now, err := a.rollout(); err != nil || now.Phase != "Succeeded" {
		t.Errorf("after the bad Release came again: %s, error %v", now, err)
	}
	for _, m := range fleet.Members {
		a.runs(m, "3")
	}
}
