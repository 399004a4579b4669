package e2e

import (
	"fmt"
	"testing"

	"flotilla.dev/flotilla/test/lab"
)

func metric(a *app, p *lab.Program, name string, labels ...string) float64 {
	a.t.Helper()
	value, err := p.Metric(a.t.Context(), name, labels...)
	if err != nil {
		a.t.Fatal(err)
	}
	return value
}

// Counts need a fleet that nobody else uses.
func TestOneCommitIsFetchedAndBuiltOnceAndShipsWhatChanged(t *testing.T) {
	t.Parallel()
	fleet := startFleet(t, lab.ThreeClusters()...)
	a := newApp(t, fleet)
	files := map[string]string{"elsewhere/readme": "1"}
	for i := range 1000 {
		files[fmt.Sprintf("deploy/c%d.yaml", i)] = a.configMap(fmt.Sprintf("c%d", i), "1")
	}
	a.push(files)
	a.settle()
	quiet(a, fleet.Members...)

	fetches, builds, states := fleet.Git.Traffic(a.namespace).Fetches, a.builds(), a.states()
	requests := map[string]int{}
	for _, m := range fleet.Members {
		all, err := m.Requests(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		requests[m.Name()] = len(all)
	}
	a.push(map[string]string{"deploy/c7.yaml": a.configMap("c7", "2")})
	a.lookNow()
	for _, m := range fleet.Members {
		a.data(m, "c7", map[string]string{"value": "2"})
	}
	a.says("ks/app", "Ready", "True")
	if got := fleet.Git.Traffic(a.namespace).Fetches - fetches; got != 1 {
		t.Errorf("%d fetches for three clusters", got)
	}
	if got := a.builds() - builds; got != 1 {
		t.Errorf("%v builds for three clusters", got)
	}
	if got := a.states() - states; got != 3 {
		t.Errorf("%v states sent to three clusters", got)
	}
	quiet(a, fleet.Members...)
	for _, m := range fleet.Members {
		all, err := m.Requests(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		writes := all[requests[m.Name()]:].Where(isWrite)
		dry := writes.Where(func(r lab.Request) bool { return r.DryRun })
		if len(writes) != 2 || len(dry) != 1 {
			t.Errorf("%s: %d writes, %d of them dry: %v", m.Name(), len(writes), len(dry), writes)
		}
	}

	states = a.states()
	commit := a.push(map[string]string{"elsewhere/readme": "2"})
	a.fleetctl("reconcile", "gitrepo/app", "--wait", "--timeout", patience.String())
	a.says("ks/app", "Ready", "applied revision main@sha1:"+commit)
	if got := a.states() - states; got != 0 {
		t.Errorf("%v states sent for a commit that touches nothing of the App", got)
	}
}

func (a *app) builds() float64 {
	return metric(a, a.fleet.Hub, "flotilla_hub_builds_total", "result=built")
}

func (a *app) states() float64 { return metric(a, a.fleet.Hub, "flotilla_hub_states_sent_total") }
