package e2e

import (
	"fmt"
	"strings"
	"testing"

	"flotilla.dev/flotilla/test/lab"
)

// beside is another Kustomization on the app's source, placed as the app is.
const beside = `
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: beside, namespace: NAMESPACE}
spec: {interval: 1h, retryInterval: 1h, timeout: 30s, path: ./beside, prune: true, wait: true, sourceRef: {kind: GitRepository, name: app}}
---
apiVersion: fleet.flotilla.dev/v1alpha1
kind: Placement
metadata: {name: beside, namespace: NAMESPACE}
spec:
  apps: [{kind: Kustomization, name: beside}]
  clusters: {selector: {matchExpressions: [{key: tier, operator: Exists}]}}
`

// Two Apps on one source, and commits that touch one of them, a base of both, or neither. What is counted is the whole
// hub's: the fleet is the test's own.
func TestCommitReachesAnAppThatItDoesNotTouchWithoutABuildOrAMessage(t *testing.T) {
	t.Parallel()
	fleet := startFleet(t, cluster("prod-1"), cluster("prod-2"))
	a := newApp(t, fleet)
	a.push(map[string]string{
		"deploy/kustomization.yaml": "resources: [namespace.yaml, app.yaml, ../base]\n",
		"beside/kustomization.yaml": "resources: [b.yaml]\n",
		"beside/b.yaml":             a.configMap("b", "1"),
		"base/kustomization.yaml":   "resources: [base.yaml]\n",
		"base/base.yaml":            a.configMap("base", "1"),
	})
	a.settle() // its Namespace is there
	a.apply(strings.ReplaceAll(beside, "NAMESPACE", a.namespace))
	a.fleetctl("reconcile", "ks/beside", "--with-source", "--wait", "--timeout", patience.String())
	for _, test := range []struct {
		name   string
		write  map[string]string
		builds float64
		// app and beside say whether the commit changes the objects of that one.
		app, beside bool
	}{
		{"the other one alone", map[string]string{"beside/b.yaml": a.configMap("b", "2")}, 1, false, true},
		{"neither", map[string]string{"elsewhere/readme": "1", "base/unused.yaml": a.configMap("unused", "1")}, 0, false, false},
		{"a base", map[string]string{"base/base.yaml": a.configMap("base", "2")}, 1, true, false},
		{"a base and the other one", map[string]string{"base/base.yaml": a.configMap("base", "3"), "beside/b.yaml": a.configMap("b", "3")}, 2, true, true},
		{"both, back to what they were", map[string]string{"base/base.yaml": a.configMap("base", "1"), "beside/b.yaml": a.configMap("b", "1")}, 0, true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := a.in(t)
			a.quiet(fleet.Members...)
			hub := fleet.Hub
			built, found := a.count(hub, "flotilla_hub_builds_total", "result=built"), a.count(hub, "flotilla_hub_builds_total", "result=found")
			rows, states := a.count(hub, "flotilla_hub_assignments_written_total"), a.count(hub, "flotilla_hub_states_sent_total")
			passes, before := map[*lab.Member]rise{}, map[string]shown{}
			for _, m := range fleet.Members {
				passes[m] = a.count(m.Spoke, "flotilla_worker_passes_total")
				for _, name := range []string{"ks/app", "ks/beside"} {
					before[name+m.Name()] = a.get(name + "@" + m.Name())
				}
			}

			commit := a.push(test.write)
			a.lookNow()
			a.fleetctl("wait", "ks/app", "ks/beside", "--for=ready", "--for=revision=main@sha1:"+commit, "--timeout", patience.String())
			a.fleetctl("wait", "ks/app", "--for=revision="+commit[:8], "--timeout", "0s") // by a part of the hash, and at once

			changed := 0.0
			for _, is := range []bool{test.app, test.beside} {
				if is {
					changed++
				}
			}
			a.rose(built, test.builds)
			a.rose(found, 2-test.builds)
			a.rose(rows, changed*float64(len(fleet.Members)))
			for _, m := range fleet.Members {
				a.rose(passes[m], changed)
				for name, moves := range map[string]bool{"ks/app": test.app, "ks/beside": test.beside} {
					old, now := before[name+m.Name()].Status, a.get(name+"@"+m.Name()).Status
					if want := "main@sha1:" + commit; now.LastAppliedRevision != want || now.LastAttemptedRevision != want {
						t.Errorf("%s@%s is at %q and tried %q, want %q", name, m.Name(), now.LastAppliedRevision, now.LastAttemptedRevision, want)
					}
					if moved := fmt.Sprint(old.Fleet.Generation, old.Fleet.Release) != fmt.Sprint(now.Fleet.Generation, now.Fleet.Release); moved != moves {
						t.Errorf("%s@%s has another Assignment: %t", name, m.Name(), moved)
					}
				}
			}
			if !test.app && !test.beside {
				a.rose(states, 0)
			}
		})
	}
}
