package e2e

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"flotilla.dev/flotilla/test/lab"
)

// The older database says three things that are not so any more, or must not be so yet: it knows nothing of the last
// commits, one App's prune waits in it, and on it another App is unplaced, to be pruned, before the spoke is heard, whose
// certificate was renewed since.
func TestRestoredDatabaseSendsAndDeletesNothingUntilRecovered(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fleet := startFleetWith(t, lab.FleetConfig{Dir: dir, Clusters: []lab.FleetCluster{cluster("prod-1")}})
	m := fleet.Members[0]
	committed, waiting, unplaced := newApp(t, fleet), newApp(t, fleet), newApp(t, fleet, unmatchPrunes...)
	all := []*app{committed, waiting, unplaced}
	for _, a := range all {
		a.settle()
	}
	waiting.push(map[string]string{"deploy/kustomization.yaml": "resources: []\n"})
	waiting.lookNow()
	waiting.says("ks/app@prod-1", "PruneHeld", "True")
	if _, err := fleet.Postgres.CopyDatabase(t.Context(), "flotilla", "older"); err != nil {
		t.Fatal(err)
	}
	waiting.remove("deploy/kustomization.yaml")
	committed.push(map[string]string{"deploy/new.yaml": committed.configMap("new", "added later")})
	committed.settle()
	waiting.settle()
	committed.quiet(m)
	tapes, before := map[*app]tape{}, map[*app]map[string]string{}
	for _, a := range all {
		tapes[a], before[a] = a.record(m), a.objects(m)
	}

	if err := m.Spoke.Stop(); err != nil {
		t.Fatal(err)
	}
	restore(t, fleet, "older")
	committed.certify(m, filepath.Join(dir, "hub", "hub.key"), time.Now())
	// The hub does not know yet that it is behind.
	unplaced.apply(strings.ReplaceAll(unplaced.declared, "key: tier, operator: Exists", "key: nothing, operator: Exists"), "--confirm", "1")
	unplaced.says("ks/app@prod-1", "Ready", "Unknown")
	if err := m.Spoke.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	committed.says("cluster/prod-1", "SafeMode", "True HubBehind")
	committed.says("cluster/prod-1", "Ready", "False SafeMode")
	committed.named("cluster/prod-1", "fleetctl hub recover", fleet.Hub.Log)
	committed.patch(m, "new", "kubectl-edit", `{"data":{"value":"edited"}}`)
	committed.data(m, "new", map[string]string{"value": "added later"}) // it goes on
	committed.quiet(m)
	committed.rose(rise{program: fleet.Hub, name: "flotilla_hub_states_sent_total"}, 0)
	for _, a := range all {
		if got := tapes[a].deletes(); len(got) != 0 {
			t.Errorf("deleted in safe mode: %v", got)
		}
	}

	committed.fleetctl("hub", "recover")
	committed.says("cluster/prod-1", "Ready", "True")
	lab.Eventually(t, patience, "the unplaced App goes, as was ordered", func() error {
		if got := tapes[unplaced].deletes(); !slices.Equal(got, []string{"configmaps/app", "namespaces/" + unplaced.namespace}) {
			return fmt.Errorf("deleted were %v", got)
		}
		return nil
	})
	for _, a := range []*app{committed, waiting} {
		a.settle()
		a.says("ks/app", "Ready", "True")
		if got := tapes[a].deletes(); len(got) != 0 {
			t.Errorf("deleted were %v", got)
		}
	}
	if got := waiting.objects(m); !maps.Equal(got, before[waiting]) {
		t.Errorf("what the prune held has %v, had %v", got, before[waiting])
	}
	committed.data(m, "new", map[string]string{"value": "added later"})
}

// restore has the fleet's hub find an older database, or an empty one for no name.
func restore(t testing.TB, fleet *lab.Fleet, copy string) {
	t.Helper()
	if copy == "" {
		copy = "empty"
		if _, err := fleet.Postgres.CreateDatabase(t.Context(), copy); err != nil {
			t.Fatal(err)
		}
	}
	fleet.Hub.Kill()
	if err := fleet.Postgres.RestoreDatabase(t.Context(), copy, "flotilla"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(fleet.Hub.Start(t.Context()), fleet.Login(t.Context())); err != nil {
		t.Fatal(err)
	}
}

// A Postgres of the hub's own is the hub's to look after.
func TestHubKeepsItsPrivatePostgresRunningAndTakesItsDataOver(t *testing.T) {
	t.Parallel()
	fleet := startFleetWith(t, lab.FleetConfig{Clusters: []lab.FleetCluster{cluster("prod-1")}, PrivatePostgres: true})
	m := fleet.Members[0]
	a := newApp(t, fleet)
	a.settle()
	arrives := func(value string) {
		t.Helper()
		a.push(map[string]string{"deploy/app.yaml": a.configMap("app", value)})
		lab.Eventually(t, patience, "the hub takes a request", func() error {
			return fleet.Fleetctl(t.Context(), "reconcile", "gitrepo/app", "-n", a.namespace).Err()
		})
		a.data(m, "app", map[string]string{"value": value})
	}
	postgres := func() int {
		t.Helper()
		pid, err := fleet.PrivatePostgresPID()
		if err != nil {
			t.Fatal(err)
		}
		return pid
	}
	hub, first := fleet.Hub.PID(), postgres()
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	arrives("after Postgres was killed")
	if now := fleet.Hub.PID(); now != hub {
		t.Errorf("the hub was process %d and is %d: it ended with its Postgres", hub, now)
	}
	second := postgres()
	if second == first {
		t.Errorf("Postgres is process %d, which was killed", first)
	}
	fleet.Hub.Kill()
	if err := fleet.Hub.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	arrives("after the hub was killed")
	a.says("ks/app", "Ready", "True")
	if third := postgres(); third == second {
		t.Errorf("Postgres is process %d, as before the hub was killed", second)
	}
	// One that has ended and that nobody has waited for has no command line.
	if left, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", second)); err == nil && len(left) > 0 {
		t.Errorf("the killed hub's Postgres, process %d, runs beside that of the next one: %q", second, left)
	}
}
