package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/test/lab"
)

// What is counted is the whole hub's or a whole spoke's: the fleet is the test's own, and one thing happens at a time.
func TestFleetDoesOnceWhatChangedAndNothingElse(t *testing.T) {
	t.Parallel()
	fleet := startFleet(t, lab.ThreeClusters()...)
	a := newApp(t, fleet)
	files := map[string]string{"elsewhere/readme": "1"}
	for i := range 1000 {
		files[fmt.Sprintf("deploy/c%d.yaml", i)] = a.configMap(fmt.Sprintf("c%d", i), "1")
	}
	a.push(files)
	a.settle()
	for _, test := range []struct {
		name string
		run  func(*app)
	}{
		{"a commit is fetched and built once and ships what changed", oneChangedObject},
		{"a commit that touches nothing of the App sends nothing", nothingOfTheApp},
		{"drift is undone without a pass", driftWithoutPass},
		{"an unchanged spoke costs nothing when the hub is back", unchangedReconnect},
		{"a spoke that hangs is unknown until it goes on", hangingSpoke},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := a.in(t)
			a.quiet(fleet.Members...)
			test.run(a)
		})
	}
}

func oneChangedObject(a *app) {
	hub := a.fleet.Hub
	fetches, fetched := a.fleet.Git.Traffic(a.namespace).Fetches, a.count(hub, "flotilla_source_calls_total", "call=fetch")
	builds, states := a.count(hub, "flotilla_hub_builds_total"), a.count(hub, "flotilla_hub_states_sent_total")
	packs := a.count(hub, "flotilla_hub_packs_total", "result=made")
	bytes, tapes := map[*lab.Member]rise{}, map[*lab.Member]tape{}
	for _, m := range a.fleet.Members {
		bytes[m], tapes[m] = a.count(m.Spoke, "flotilla_session_fetched_bytes_total"), a.record(m)
	}

	a.push(map[string]string{"deploy/c7.yaml": a.configMap("c7", "2")})
	a.lookNow()
	for _, m := range a.fleet.Members {
		a.data(m, "c7", map[string]string{"value": "2"})
	}
	a.says("ks/app", "Ready", "True")
	a.quiet(a.fleet.Members...)

	a.rose(fetched, 1)
	a.rose(builds, 1)
	a.rose(packs, 1)
	a.rose(states, 3)
	if got := a.fleet.Git.Traffic(a.namespace).Fetches - fetches; got != 1 {
		a.t.Errorf("the Git server answered %d fetches for three clusters", got)
	}
	for _, m := range a.fleet.Members {
		if got := a.metric(m.Spoke, bytes[m].name) - bytes[m].from; got <= 0 || got >= 4<<10 {
			a.t.Errorf("%s fetched %v bytes for one changed object of 1,000", m.Name(), got)
		}
		var writes []string
		for _, r := range tapes[m].writes() {
			writes = append(writes, fmt.Sprintf("%s %s/%s dry=%t", r.Verb, r.Resource, r.Name, r.DryRun))
		}
		if got, want := fmt.Sprint(writes), "[patch configmaps/c7 dry=true patch configmaps/c7 dry=false]"; got != want {
			a.t.Errorf("%s: writes %s, want %s", m.Name(), got, want)
		}
	}
}

// The next commit that does touch the App is the barrier: what the first one sent has come before.
func nothingOfTheApp(a *app) {
	hub := a.fleet.Hub
	states, packs := a.count(hub, "flotilla_hub_states_sent_total"), a.count(hub, "flotilla_hub_packs_total")
	tapes := map[*lab.Member]tape{}
	for _, m := range a.fleet.Members {
		tapes[m] = a.record(m)
	}
	untouching := a.push(map[string]string{"elsewhere/readme": "2"})
	a.lookNow()
	a.fleetctl("wait", "ks/app", "--for=ready", "--for=revision="+untouching, "--timeout", patience.String())
	for _, m := range a.fleet.Members {
		if got, want := a.ready(m), "main@sha1:"+untouching; got != want {
			a.t.Errorf("ks/app@%s is ready at %q, want %q", m.Name(), got, want)
		}
	}
	a.push(map[string]string{"deploy/c8.yaml": a.configMap("c8", "2")})
	a.lookNow()
	for _, m := range a.fleet.Members {
		a.data(m, "c8", map[string]string{"value": "2"})
	}
	a.rose(states, 3)
	a.rose(packs, 3)
	for _, m := range a.fleet.Members {
		if got := tapes[m].writes(); len(got) != 2 {
			a.t.Errorf("%s: %d writes, want a dry run and an apply of c8: %v", m.Name(), len(got), got)
		}
	}
}

func driftWithoutPass(a *app) {
	want := map[string]string{"value": "first"}
	for _, m := range a.fleet.Members {
		passes := a.count(m.Spoke, "flotilla_worker_passes_total")
		corrections := a.count(m.Spoke, "flotilla_spoke_drift_corrections_total")
		a.patch(m, "app", "kubectl-edit", `{"data":{"value":"edited"}}`)
		a.data(m, "app", want)
		a.patch(m, "app", "kubectl-patch", `{"data":{"extra":"by hand"}}`)
		a.data(m, "app", want)
		a.delete(m, "app")
		a.data(m, "app", want)
		a.rose(corrections, 3)
		a.rose(passes, 0)
	}
}

// A commit that touches the App is the barrier again: its states are the only ones of the new hub.
func unchangedReconnect(a *app) {
	hub := a.fleet.Hub
	passes, tapes := map[*lab.Member]rise{}, map[*lab.Member]tape{}
	for _, m := range a.fleet.Members {
		passes[m], tapes[m] = a.count(m.Spoke, "flotilla_worker_passes_total"), a.record(m)
	}
	hub.Kill()
	if err := hub.Start(a.t.Context()); err != nil {
		a.t.Fatal(err)
	}
	from := func(name string) rise { return rise{program: hub, name: name} } // all of the new hub's
	a.rose(from("flotilla_hub_sessions"), 3)
	a.says("ks/app", "Ready", "True")
	for _, m := range a.fleet.Members {
		a.rose(passes[m], 0)
		if got := tapes[m].writes(); len(got) != 0 {
			a.t.Errorf("%s: %d writes: %v", m.Name(), len(got), got)
		}
	}
	a.push(map[string]string{"deploy/c9.yaml": a.configMap("c9", "2")})
	a.lookNow()
	for _, m := range a.fleet.Members {
		a.data(m, "c9", map[string]string{"value": "2"})
	}
	a.rose(from("flotilla_hub_states_sent_total"), 3)
	a.rose(from("flotilla_hub_packs_total"), 3)
}

// unheard is how long a cluster may be unheard of until it is shown as unknown, 45 s, and as long again for a busy
// machine.
const unheard = 90 * time.Second

func hangingSpoke(a *app) {
	m := a.fleet.Members[2]
	instance, cluster := "ks/app@"+m.Name(), "cluster/"+m.Name()
	m.Spoke.Pause()
	defer m.Spoke.Resume()
	lab.Eventually(a.t, unheard, instance+" is unknown", func() error {
		if got := a.get(instance).condition("Ready"); !strings.HasPrefix(got, "Unknown ClusterUnreachable") {
			return fmt.Errorf("%s is shown as %s", instance, got)
		}
		return nil
	})
	a.says(cluster, "Connected", "False ClusterUnreachable")
	a.says(cluster, "Ready", "Unknown ClusterUnreachable")
	a.says(instance, "Healthy", "Unknown ClusterUnreachable")

	commit := a.push(map[string]string{"deploy/app.yaml": a.configMap("app", "second")})
	a.lookNow()
	for _, other := range a.fleet.Members[:2] {
		a.fleetctl("wait", "ks/app@"+other.Name(), "--for=ready", "--for=revision="+commit, "--timeout", patience.String())
	}
	app := a.get("ks/app")
	if got := app.condition("Ready"); strings.HasPrefix(got, "True") || app.Status.Fleet.Unknown != 1 || app.Status.Fleet.Ready != 2 {
		a.t.Errorf("ks/app is shown as %s with %+v, while %s hangs", got, app.Status.Fleet, m.Name())
	}
	if got := a.get(instance).condition("Ready"); !strings.HasPrefix(got, "Unknown ClusterUnreachable") {
		a.t.Errorf("%s is shown as %s", instance, got)
	}

	m.Spoke.Resume()
	a.fleetctl("wait", "ks/app", "--for=ready", "--for=revision="+commit, "--timeout", patience.String())
	a.data(m, "app", map[string]string{"value": "second"})
	a.says(cluster, "Ready", "True")
}
