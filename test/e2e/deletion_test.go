package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"flotilla.dev/flotilla/test/lab"
)

// everyTier is where newApp places the app, for changes of that, and unmatchPrunes a change of what it declares.
const everyTier = "{selector: {matchExpressions: [{key: tier, operator: Exists}]}}"

var unmatchPrunes = []string{"clusters: {", "onUnmatch: Prune\n  clusters: {"}

// The deletion table: what went, and what happens in the clusters. The rows that cost a cluster, or the database, come
// last.
func TestDeletionTable(t *testing.T) {
	t.Parallel()
	fleet := startFleet(t, cluster("prod-1"), cluster("prod-2"))
	witness := newWitness(t, fleet)
	for _, row := range []struct {
		name    string
		changes []string
		suspend bool
		delete  []string
		deletes bool
	}{
		{"App that prunes", nil, false, []string{"ks/app"}, true},
		{"App that does not prune", []string{"prune: true", "prune: false"}, false, []string{"ks/app"}, false},
		{"App with policy Delete that does not prune", []string{"prune: true", "prune: false, deletionPolicy: Delete"}, false, []string{"ks/app"}, true},
		{"App with policy Orphan that prunes", []string{"prune: true", "prune: true, deletionPolicy: Orphan"}, false, []string{"ks/app"}, false},
		{"App that prunes, ended by --policy orphan", nil, false, []string{"ks/app", "--policy", "orphan"}, false},
		{"App that does not prune, ended by --policy delete", []string{"prune: true", "prune: false"}, false, []string{"ks/app", "--policy", "delete"}, true},
		{"suspended App that prunes", nil, true, []string{"ks/app"}, false},
		{"Placement", nil, false, []string{"placement/app"}, false},
		{"Placement that prunes", unmatchPrunes, false, []string{"placement/app"}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := newApp(t, fleet, row.changes...)
			a.settle()
			ending, order := a.ending(fleet.Members...), append([]string{"delete"}, row.delete...)
			if row.suspend {
				a.fleetctl("suspend", "ks/app")
			}
			a.refused(2, "this has to be confirmed, and there is no terminal to ask at", order...)
			if row.deletes {
				a.fleetctl(append(order, "--confirm", "2")...)
			} else {
				a.fleetctl(append(order, "-y")...)
			}
			ending.came(row.deletes, witness.in(t))
		})
	}
	for _, row := range []struct {
		name string
		run  func(a func(changes ...string) *app, witness *app)
	}{
		{"App that waits for termination", waitForTermination},
		{"Placement that chooses fewer clusters", fewerClusters},
		{"Cluster that no longer matches", relabelledCluster},
		{"Source in use", sourceInUse},
		{"Cluster whose spoke is away", clusterAway},
		{"Cluster --now", clusterNow},
		{"App that only the spoke knows", knownToSpokeOnly},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.run(func(changes ...string) *app {
				a := newApp(t, fleet, changes...)
				a.settle()
				return a
			}, witness.in(t))
		})
	}
}

// ending is what an app had in clusters before it ended there.
type ending struct {
	a      *app
	before map[*lab.Member]map[string]string
	tapes  map[*lab.Member]tape
}

func (a *app) ending(members ...*lab.Member) ending {
	a.t.Helper()
	e := ending{a: a, before: map[*lab.Member]map[string]string{}, tapes: map[*lab.Member]tape{}}
	for _, m := range members {
		e.before[m], e.tapes[m] = a.objects(m), a.record(m)
	}
	return e
}

// came waits until the App has left the clusters, and checks what became of its objects: all were deleted, or none was
// touched and they are nobody's, so that a change by hand stays when that of a witness is undone.
func (e ending) came(deleted bool, witness *app) {
	e.a.t.Helper()
	for m, before := range e.before {
		e.a.left(m)
		if deleted {
			lab.Eventually(e.a.t, patience, "the objects go from "+m.Name(), func() error {
				if got := e.tapes[m].deletes(); !slices.Equal(got, []string{"configmaps/app", "namespaces/" + e.a.namespace}) {
					return fmt.Errorf("deleted were %v", got)
				}
				if got := e.a.names(m); len(got) != 0 {
					return fmt.Errorf("it has %v", got)
				}
				return nil
			})
			continue
		}
		if after := e.a.objects(m); !maps.Equal(after, before) {
			e.a.t.Errorf("%s has %v, had %v", m.Name(), after, before)
		}
		if got := e.tapes[m].writes(); len(got) != 0 {
			e.a.t.Errorf("%s: the spoke wrote %v", m.Name(), got)
		}
		e.a.isNobodys(m, witness)
	}
}

// left waits until the hub knows of no instance in a cluster.
func (a *app) left(m *lab.Member) {
	a.t.Helper()
	lab.Eventually(a.t, patience, "the App leaves "+m.Name(), func() error {
		out := a.fleet.Fleetctl(a.t.Context(), "get", "ks/app@"+m.Name(), "-n", a.namespace)
		if out.Code != 3 { // not found
			return fmt.Errorf("exit code %d: %s%s", out.Code, out.Stdout, out.Stderr)
		}
		return nil
	})
}

// newWitness makes an app whose drift is undone all the while: what was changed in a cluster before a change of its was
// undone there, was seen. Each of its ConfigMaps is for one such change, since one that is changed again and again is
// taken for fought over.
func newWitness(t *testing.T, fleet *lab.Fleet) *app {
	a := newApp(t, fleet)
	files := map[string]string{}
	for i := range 50 {
		files[fmt.Sprintf("deploy/w%d.yaml", i)] = a.configMap(fmt.Sprintf("w%d", i), "as in Git")
	}
	a.push(files)
	a.settle()
	return a
}

var witnessed atomic.Int64

// isNobodys checks that a change of the ConfigMap by hand stays.
func (a *app) isNobodys(m *lab.Member, witness *app) {
	a.t.Helper()
	a.patch(m, "app", "kubectl-edit", `{"data":{"value":"mine now"}}`)
	own := fmt.Sprintf("w%d", witnessed.Add(1))
	witness.patch(m, own, "kubectl-edit", `{"data":{"value":"edited"}}`)
	witness.data(m, own, map[string]string{"value": "as in Git"})
	if value, err := a.value(m, "app"); value != "mine now" || err != nil {
		a.t.Errorf("%s has %q of what was let go of, error %v", m.Name(), value, err)
	}
}

func waitForTermination(newApp func(...string) *app, _ *app) {
	for _, policy := range []string{"WaitForTermination", "Delete"} {
		a := newApp("prune: true", "prune: true, deletionPolicy: "+policy, everyTier, "{names: [prod-1]}")
		m := a.fleet.Members[0]
		a.finalizers(m, `["example.com/held"]`)
		tape := a.record(m)
		a.fleetctl("delete", "ks/app", "--confirm", "1")
		lab.Eventually(a.t, patience, "the deletion is asked for", func() error {
			if got := tape.deletes(); !slices.Contains(got, "configmaps/app") {
				return fmt.Errorf("deleted were %v", got)
			}
			return nil
		})
		if policy == "WaitForTermination" {
			a.says("ks/app@"+m.Name(), "Ready", "Unknown Removing")
		} else {
			a.left(m) // without the finalizer's leave
		}
		if got := a.names(m); !slices.Equal(got, []string{"app"}) {
			a.t.Errorf("policy %s: %s has %v in spite of the finalizer", policy, m.Name(), got)
		}
		a.finalizers(m, "null")
		a.left(m)
		if got := a.names(m); len(got) != 0 {
			a.t.Errorf("policy %s: %s has %v", policy, m.Name(), got)
		}
	}
}

func (a *app) finalizers(m *lab.Member, list string) {
	a.t.Helper()
	_, err := a.client(m).CoreV1().ConfigMaps(a.namespace).Patch(a.t.Context(), "app", types.MergePatchType,
		[]byte(`{"metadata":{"finalizers":`+list+`}}`), metav1.PatchOptions{FieldManager: "test"})
	if err != nil {
		a.t.Fatal(err)
	}
}

func fewerClusters(newApp func(...string) *app, witness *app) {
	for _, test := range []struct {
		changes, confirm []string
		deletes          bool
	}{{nil, nil, false}, {unmatchPrunes, []string{"--confirm", "1"}, true}} {
		a := newApp(test.changes...)
		stays, goes := a.fleet.Members[0], a.fleet.Members[1]
		ending, kept := a.ending(goes), a.ending(stays)
		fewer := strings.ReplaceAll(a.declared, everyTier, "{names: ["+stays.Name()+"]}")
		if test.deletes {
			a.refusedWith(fewer, 2, "this has to be confirmed", "apply", "-f", "-")
		}
		a.apply(fewer, test.confirm...)
		ending.came(test.deletes, witness)
		kept.stayed()
	}
}

// stayed checks that the App has not ended in the clusters: nothing has changed, and drift is undone.
func (e ending) stayed() {
	e.a.t.Helper()
	for m, before := range e.before {
		if after := e.a.objects(m); !maps.Equal(after, before) {
			e.a.t.Errorf("%s has %v, had %v", m.Name(), after, before)
		}
		if got := e.tapes[m].deletes(); len(got) != 0 {
			e.a.t.Errorf("%s: deleted were %v", m.Name(), got)
		}
		e.a.patch(m, "app", "kubectl-edit", `{"data":{"value":"edited"}}`)
		e.a.data(m, "app", map[string]string{"value": "first"})
	}
}

func relabelledCluster(newApp func(...string) *app, witness *app) {
	goes := witness.fleet.Members[1]
	label := func(labels string) string {
		return fmt.Sprintf("apiVersion: fleet.flotilla.dev/v1alpha1\nkind: Cluster\nmetadata: {name: %s, labels: {%s}}\n", goes.Name(), labels)
	}
	for _, test := range []struct {
		changes, confirm []string
		deletes          bool
	}{{nil, nil, false}, {unmatchPrunes, []string{"--confirm", "1"}, true}} {
		witness.apply(label("tier: prod, row: relabelled"))
		a := newApp(append([]string{"key: tier, operator: Exists", "key: row, operator: In, values: [relabelled]"}, test.changes...)...)
		a.left(a.fleet.Members[0])
		ending := a.ending(goes)
		if test.deletes {
			witness.refusedWith(label("tier: prod, row: other"), 2, "this has to be confirmed", "apply", "-f", "-")
		}
		witness.apply(label("tier: prod, row: other"), test.confirm...)
		ending.came(test.deletes, witness)
	}
}

func sourceInUse(newApp func(...string) *app, _ *app) {
	a := newApp()
	kept := a.ending(a.fleet.Members...)
	a.refused(8, "it is used by Kustomization/"+a.namespace+"/app", "delete", "gitrepo/app")
	a.says("gitrepo/app", "Ready", "True")
	kept.stayed()
	a.fleetctl("delete", "ks/app", "--policy", "orphan", "-y")
	a.fleetctl("delete", "gitrepo/app")
	a.refused(3, "not found: gitrepo/app", "get", "gitrepo/app")
}

// A Cluster that is deleted waits for its spoke to let go; its objects stay, and from then on it is refused. It may
// join again.
func clusterAway(newApp func(...string) *app, witness *app) {
	a := newApp()
	m := a.fleet.Members[1]
	ref := "cluster/" + m.Name()
	if err := m.Spoke.Stop(); err != nil {
		a.t.Fatal(err)
	}
	ending := a.ending(m)
	a.fleetctl("delete", ref, "-y")
	a.says(ref, "Ready", "Unknown Terminating")
	if a.get(ref).Metadata.DeletionTimestamp == "" {
		a.t.Errorf("%s has no deletionTimestamp", ref)
	}
	a.says("ks/app@"+m.Name(), "Ready", "Unknown")
	log := since(m.Spoke)
	if err := m.Spoke.Start(a.t.Context()); err != nil {
		a.t.Fatal(err)
	}
	ending.finished(m, log)
	a.patch(m, "app", "kubectl-edit", `{"data":{"value":"mine now"}}`)
	if err := a.fleet.Join(a.t.Context(), m); err != nil { // by a new token
		a.t.Fatal(err)
	}
	a.data(m, "app", map[string]string{"value": "first"})
	a.settle()
	witness.settle()
}

// finished waits until the Cluster is gone and its spoke refused, and checks that its objects stay.
func (e ending) finished(m *lab.Member, log func() (string, error)) {
	e.a.t.Helper()
	lab.Eventually(e.a.t, patience, "the Cluster is gone and its spoke refused", func() error {
		if out := e.a.fleet.Fleetctl(e.a.t.Context(), "get", "cluster/"+m.Name()); out.Code != 3 {
			return fmt.Errorf("exit code %d: %s%s", out.Code, out.Stdout, out.Stderr)
		}
		text, err := log()
		if err == nil && !strings.Contains(text, "it was deleted from the fleet") {
			err = fmt.Errorf("the log says\n%s", text)
		}
		return err
	})
	e.a.left(m)
	if after := e.a.objects(m); !maps.Equal(after, e.before[m]) {
		e.a.t.Errorf("%s has %v, had %v", m.Name(), after, e.before[m])
	}
	if got := e.tapes[m].writes(); len(got) != 0 {
		e.a.t.Errorf("%s: the spoke wrote %v", m.Name(), got)
	}
}

func clusterNow(newApp func(...string) *app, _ *app) {
	a := newApp()
	m := a.fleet.Members[1]
	m.Spoke.Pause() // nothing of it is waited for
	defer m.Spoke.Resume()
	ending, log := a.ending(m), since(m.Spoke)
	a.fleetctl("delete", "cluster/"+m.Name(), "--now", "-y")
	a.refused(3, "not found: cl/"+m.Name(), "get", "cluster/"+m.Name())
	a.left(m)
	m.Spoke.Resume()
	ending.finished(m, log)
}

// With the database emptied, the spoke knows Apps that the hub does not: one is ended with its objects and one without,
// and the witness is declared again.
func knownToSpokeOnly(newApp func(...string) *app, witness *app) {
	fleet, m := witness.fleet, witness.fleet.Members[0]
	deleted, orphaned := newApp(), newApp()
	all := []*app{deleted, orphaned, witness}
	endings := map[*app]ending{}
	for _, a := range all {
		endings[a] = a.ending(m)
	}
	restore(witness.t, fleet, "")
	witness.says("cluster/prod-1", "SafeMode", "True HubBehind")
	witness.rose(rise{program: fleet.Hub, name: "flotilla_hub_states_sent_total"}, 0)
	witness.fleetctl("hub", "recover")
	for _, a := range all {
		a.knownToSpoke(true)
	}
	for _, a := range all {
		endings[a].stayed()
	}

	ref := func(a *app) string { return "Kustomization/" + a.namespace + "/app@prod-1" } // as describe has it
	orphaned.refused(2, "--policy delete or --policy orphan is required", "delete", ref(orphaned))
	deleted.refused(2, "this has to be confirmed, and there is no terminal to ask at", "delete", ref(deleted), "--policy", "delete")
	for _, a := range all {
		endings[a] = a.ending(m)
	}
	orphaned.fleetctl("delete", ref(orphaned), "--policy", "orphan")
	deleted.fleetctl("delete", ref(deleted), "--policy", "delete", "--confirm", "1")
	for _, a := range []*app{deleted, orphaned} {
		a.knownToSpoke(false)
	}
	endings[deleted].came(true, witness)

	witness.apply(witness.declared + "---\napiVersion: fleet.flotilla.dev/v1alpha1\nkind: Cluster\nmetadata: {name: prod-1, labels: {tier: prod}}\n")
	witness.settle()
	witness.knownToSpoke(false)
	endings[witness].stayed()
	endings[orphaned].came(false, witness)
}

// knownToSpoke waits until prod-1 is shown to run, or not to run, the App without the hub's knowing it.
func (a *app) knownToSpoke(want bool) {
	a.t.Helper()
	name := "Kustomization/" + a.namespace + "/app"
	lab.Eventually(a.t, patience, fmt.Sprintf("only the spoke knows %s: %t", name, want), func() error {
		for words, out := range map[string]string{
			name: a.fleetctl("get", "clusters"),
			"fleetctl delete " + name + "@prod-1 --policy ": a.fleetctl("describe", "cluster/prod-1"),
		} {
			if strings.Contains(out, words) != want {
				return fmt.Errorf("%s", out)
			}
		}
		return nil
	})
}
