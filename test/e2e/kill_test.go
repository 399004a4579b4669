package e2e

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/test/lab"
)

// startFleet is a fleet of a test's own, which may be broken.
func startFleet(t *testing.T, clusters ...lab.FleetCluster) *lab.Fleet {
	t.Helper()
	fleet, err := lab.StartFleet(t.Context(), lab.FleetConfig{Binaries: lab.TestBinaries(t), Clusters: clusters, Audit: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fleet.Stop(); err != nil {
			t.Error(err)
		}
	})
	return fleet
}

func cluster(name string) lab.FleetCluster {
	return lab.FleetCluster{Name: name, Labels: map[string]string{"tier": "prod"}}
}

// many are ConfigMaps c0 to c29, whose data differs between versions for those of the first ten only.
func (a *app) many(version int) map[string]string {
	files := map[string]string{}
	for i := range 30 {
		value := "same"
		if i < 10 {
			value = fmt.Sprint(version)
		}
		files[fmt.Sprintf("deploy/c%d.yaml", i)] = a.configMap(fmt.Sprintf("c%d", i), value)
	}
	return files
}

// Every part is killed while a commit is on its way; started again, all converge, and what the commit does not touch is
// not written.
func TestKilledPartsConvergeAndWriteNothingThatHadNotChanged(t *testing.T) {
	t.Parallel()
	fleet := startFleet(t, cluster("prod-1"))
	m := fleet.Members[0]
	a := newApp(t, fleet)
	a.push(a.many(0))
	a.settle()
	untouched := func() map[string]string {
		versions := a.objects(m)
		for i := range 10 {
			delete(versions, fmt.Sprintf("c%d", i))
		}
		return versions
	}
	before := untouched()
	kills := []struct {
		name    string
		kill    func()
		restart func() error
	}{
		{"the hub", fleet.Hub.Kill, func() error { return fleet.Hub.Start(t.Context()) }},
		{"the spoke", m.Spoke.Kill, func() error { return m.Spoke.Start(t.Context()) }},
		{"Postgres", fleet.Postgres.Kill, func() error { return fleet.Postgres.Start(t.Context()) }},
	}
	for version := 1; version <= 2*len(kills); version++ {
		k := kills[version%len(kills)]
		commit := a.push(a.many(version))
		a.lookNow()
		k.kill()
		if err := k.restart(); err != nil {
			t.Fatalf("%s: %v", k.name, err)
		}
		lab.Eventually(t, 2*patience, "all converge after "+k.name+" was killed", func() error {
			out := fleet.Fleetctl(t.Context(), "wait", "ks/app", "--for=revision="+commit, "--timeout=5s", "-n", a.namespace)
			return out.Err()
		})
		a.data(m, "c3", map[string]string{"value": fmt.Sprint(version)})
		if after := untouched(); !maps.Equal(before, after) {
			t.Errorf("killing %s moved what had not changed: %v before, %v after", k.name, before, after)
		}
	}
}

func TestSpokeGoesOnWithoutTheHub(t *testing.T) {
	t.Parallel()
	fleet := startFleet(t, cluster("prod-1"))
	m := fleet.Members[0]
	a := newApp(t, fleet)
	a.settle()
	fleet.Hub.Kill()
	want := map[string]string{"value": "first"}
	a.patch(m, "app", "kubectl-edit", `{"data":{"value":"edited"}}`)
	a.data(m, "app", want)

	m.Spoke.Kill()
	a.patch(m, "app", "kubectl-edit", `{"data":{"value":"edited while nobody looked"}}`)
	if err := m.Spoke.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.data(m, "app", want)
	if err := a.client(m).CoreV1().ConfigMaps(a.namespace).Delete(t.Context(), "app", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	a.data(m, "app", want)
	if err := fleet.Hub.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.push(map[string]string{"deploy/app.yaml": a.configMap("app", "second")})
	a.fleetctl("wait", "cluster/prod-1", "--for=connected", "--timeout", patience.String())
	a.settle()
	a.data(m, "app", map[string]string{"value": "second"})
}

// deletions are the requests of the spoke that delete an object.
func deletions(a *app, m *lab.Member) int {
	a.t.Helper()
	all, err := m.Requests(a.t.Context())
	if err != nil {
		a.t.Fatal(err)
	}
	return len(all.Where(func(r lab.Request) bool { return isWrite(r) && r.Verb == "delete" }))
}

func TestRestoredOrEmptiedDatabaseIsSafeModeUntilRecovered(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		emptied bool
	}{{"restored to an older point", false}, {"emptied", true}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fleet := startFleet(t, cluster("prod-1"))
			m := fleet.Members[0]
			a := newApp(t, fleet)
			a.settle()
			if test.emptied {
				if _, err := fleet.Postgres.CreateDatabase(t.Context(), "older"); err != nil {
					t.Fatal(err)
				}
			} else if _, err := fleet.Postgres.CopyDatabase(t.Context(), "flotilla", "older"); err != nil {
				t.Fatal(err)
			}
			a.push(map[string]string{"deploy/new.yaml": a.configMap("new", "added later")})
			a.settle()
			fleet.Hub.Kill()
			if err := fleet.Postgres.RestoreDatabase(t.Context(), "older", "flotilla"); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(fleet.Hub.Start(t.Context()), fleet.Login(t.Context())); err != nil {
				t.Fatal(err)
			}
			a.says("cluster/prod-1", "SafeMode", "True")
			a.patch(m, "new", "kubectl-edit", `{"data":{"value":"edited"}}`)
			a.data(m, "new", map[string]string{"value": "added later"}) // it goes on
			a.fleetctl("hub", "recover")
			a.says("cluster/prod-1", "Ready", "True")
			if test.emptied {
				lab.Eventually(t, patience, "the App is shown as one that only the spoke knows", func() error {
					if got := a.get("cluster/prod-1").Status.UnknownAssignments; len(got) != 1 {
						return fmt.Errorf("unknown assignments %v", got)
					}
					return nil
				})
				a.declareAgain()
				a.fleetctlWith(`{"apiVersion":"fleet.flotilla.dev/v1alpha1","kind":"Cluster","metadata":{"name":"prod-1","labels":{"tier":"prod"}}}`, "apply", "-f", "-")
			}
			a.settle()
			a.says("ks/app", "Ready", "True")
			if n := deletions(a, m); n != 0 {
				t.Errorf("%d deletions", n)
			}
			a.data(m, "new", map[string]string{"value": "added later"})
		})
	}
}

func TestAppThatOnlyTheSpokeKnowsIsKeptUntilItIsEndedByName(t *testing.T) {
	t.Parallel()
	fleet := startFleet(t, cluster("prod-1"))
	m := fleet.Members[0]
	a := newApp(t, fleet)
	a.settle()
	if _, err := fleet.Postgres.CreateDatabase(t.Context(), "empty"); err != nil {
		t.Fatal(err)
	}
	fleet.Hub.Kill()
	if err := fleet.Postgres.RestoreDatabase(t.Context(), "empty", "flotilla"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(fleet.Hub.Start(t.Context()), fleet.Login(t.Context())); err != nil {
		t.Fatal(err)
	}
	a.says("cluster/prod-1", "SafeMode", "True")
	a.fleetctl("hub", "recover")
	lab.Eventually(t, patience, "it is shown", func() error {
		if got := a.get("cluster/prod-1").Status.UnknownAssignments; len(got) != 1 {
			return fmt.Errorf("unknown assignments %v", got)
		}
		return nil
	})
	a.data(m, "app", map[string]string{"value": "first"})
	a.fleetctl("delete", "ks/app@prod-1", "--policy", "delete", "--confirm", "1")
	lab.Eventually(t, patience, "its objects go and it is forgotten", func() error {
		if got := a.names(m); len(got) != 0 {
			return fmt.Errorf("has %v", got)
		}
		if got := a.get("cluster/prod-1").Status.UnknownAssignments; len(got) != 0 {
			return fmt.Errorf("unknown assignments %v", got)
		}
		return nil
	})
}

func TestDeletedClusterKeepsItsObjectsAndIsRefusedFromThenOn(t *testing.T) {
	t.Parallel()
	fleet := startFleet(t, cluster("prod-1"))
	m := fleet.Members[0]
	a := newApp(t, fleet)
	a.settle()
	a.fleetctl("delete", "cluster/prod-1", "--wait")
	a.patch(m, "app", "kubectl-edit", `{"data":{"value":"mine now"}}`)
	a.data(m, "app", map[string]string{"value": "mine now"})
	lab.Eventually(t, patience, "the spoke is refused", func() error {
		log, err := m.Spoke.Log()
		if err == nil && !strings.Contains(log, "deleted from the fleet") {
			err = errors.New("its log does not say so")
		}
		return err
	})
	a.data(m, "app", map[string]string{"value": "mine now"})
}
