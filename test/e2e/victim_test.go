package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/test/lab"
)

// changing are the ConfigMaps that every version changes, and the one that it adds.
const changing = 10 + 1

// victim is an app whose fleet is killed.
type victim struct {
	*app
	m *lab.Member
	*history
}

// history is what all that happened to it should have come to.
type history struct {
	version   int
	untouched map[string]string // resourceVersions
	listed    string            // what is declared
	tape      tape
}

func newVictim(t *testing.T, fleet *lab.Fleet) *victim {
	v := &victim{app: newApp(t, fleet), m: fleet.Members[0], history: &history{}}
	v.push(v.files())
	v.settle()
	v.quiet(v.m)
	v.untouched, v.listed, v.tape = v.fixed(), v.declaredNames(), v.record(v.m)
	return v
}

func (v *victim) in(t *testing.T) *victim {
	inner := *v
	inner.app = v.app.in(t)
	return &inner
}

// files are, at a version, ConfigMaps c0 to c29 and Secrets s0 to s5, of which the first ten and three differ between
// versions, and a ConfigMap that only this version has.
func (v *victim) files() map[string]string {
	files := map[string]string{"deploy/only.yaml": v.configMap(v.only(v.version), "here")}
	for i := range 30 {
		files[fmt.Sprintf("deploy/c%d.yaml", i)] = v.configMap(fmt.Sprintf("c%d", i), v.value(i < 10))
	}
	for i := range 6 {
		files[fmt.Sprintf("deploy/s%d.yaml", i)] = fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: s%d, namespace: %s}\nstringData: {value: %q}\n",
			i, v.namespace, v.value(i < 3))
	}
	return files
}

func (v *victim) only(version int) string { return fmt.Sprintf("only-%03d", version) }

func (v *victim) value(changes bool) string {
	if changes {
		return fmt.Sprint(v.version)
	}
	return "same"
}

// kill kills a part at a moment of the next version's way.
func (v *victim) kill(part part, moment moment) {
	await := moment.arm(v)
	v.version++
	commit := v.push(v.files())
	var asking sync.WaitGroup
	asking.Go(func() { // its answer may be lost with the hub; a request that is not recorded shows by the moment
		v.fleet.Fleetctl(v.t.Context(), "reconcile", "gitrepo/app", "-n", v.namespace)
	})
	await()
	hub, spoke := v.fleet.Hub.PID(), v.m.Spoke.PID()
	part.kill(v)
	err := part.restart(v)
	asking.Wait()
	if err != nil {
		v.t.Fatalf("%s: %v", part.name, err)
	}
	if part.name == "Postgres" && (v.fleet.Hub.PID() != hub || v.m.Spoke.PID() != spoke) {
		v.t.Error("the hub or the spoke did not outlive Postgres")
	}
	lab.Eventually(v.t, patience, "all converge", func() error {
		return v.fleet.Fleetctl(v.t.Context(), "wait", "ks/app", "--for=revision="+commit, "--for=ready", "--timeout=5s", "-n", v.namespace).Err()
	})
	v.check("configmaps/" + v.only(v.version-1))
}

// check compares what the hub and the cluster have with what they should, and what was deleted since it was called last.
func (v *victim) check(gone ...string) {
	v.t.Helper()
	got, err := v.contents()
	if err != nil {
		v.t.Fatal(err)
	}
	want := map[string]string{"ConfigMap/app": "first", "ConfigMap/" + v.only(v.version): "here"}
	for i := range 30 {
		want[fmt.Sprintf("ConfigMap/c%d", i)] = v.value(i < 10)
	}
	for i := range 6 {
		want[fmt.Sprintf("Secret/s%d", i)] = v.value(i < 3)
	}
	if !maps.Equal(got, want) {
		v.t.Errorf("the cluster has %v\nwant %v", got, want)
	}
	if got := v.fixed(); !maps.Equal(got, v.untouched) {
		v.t.Errorf("what had not changed was written: resourceVersions are %v\nwere %v", got, v.untouched)
	}
	if got := v.declaredNames(); got != v.listed {
		v.t.Errorf("declared is\n%swas\n%s", got, v.listed)
	}
	v.tape.a = v.app
	if got := v.tape.deletes(); !slices.Equal(got, gone) {
		v.t.Errorf("deleted were %v, want %v", got, gone)
	}
	v.tape = v.record(v.m)
	v.checkInventory()
}

// contents are the values of the app's ConfigMaps and Secrets by kind and name.
func (v *victim) contents() (map[string]string, error) {
	values := map[string]string{}
	core := v.client(v.m).CoreV1()
	configMaps, err := core.ConfigMaps(v.namespace).List(v.t.Context(), metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for _, cm := range configMaps.Items {
		if cm.Name != "kube-root-ca.crt" {
			values["ConfigMap/"+cm.Name] = cm.Data["value"]
		}
	}
	secrets, err := core.Secrets(v.namespace).List(v.t.Context(), metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for _, secret := range secrets.Items {
		values["Secret/"+secret.Name] = string(secret.Data["value"])
	}
	return values, nil
}

// fixed are the resourceVersions of what no version changes.
func (v *victim) fixed() map[string]string {
	v.t.Helper()
	versions := map[string]string{}
	for ref, meta := range v.live() {
		var i int
		_, ofSecret := fmt.Sscanf(ref, "Secret/s%d", &i)
		_, ofConfigMap := fmt.Sscanf(ref, "ConfigMap/c%d", &i)
		if ofSecret == nil && i < 3 || ofConfigMap == nil && i < 10 || strings.HasPrefix(ref, "ConfigMap/only-") {
			continue
		}
		versions[ref] = meta.ResourceVersion
	}
	return versions
}

// live are the app's objects in the cluster by kind and name.
func (v *victim) live() map[string]metav1.ObjectMeta {
	v.t.Helper()
	core := v.client(v.m).CoreV1()
	namespace, err1 := core.Namespaces().Get(v.t.Context(), v.namespace, metav1.GetOptions{})
	configMaps, err2 := core.ConfigMaps(v.namespace).List(v.t.Context(), metav1.ListOptions{})
	secrets, err3 := core.Secrets(v.namespace).List(v.t.Context(), metav1.ListOptions{})
	if err1 != nil || err2 != nil || err3 != nil {
		v.t.Fatal(err1, err2, err3)
	}
	objects := map[string]metav1.ObjectMeta{"Namespace/" + v.namespace: namespace.ObjectMeta}
	for _, cm := range configMaps.Items {
		if cm.Name != "kube-root-ca.crt" {
			objects["ConfigMap/"+cm.Name] = cm.ObjectMeta
		}
	}
	for _, secret := range secrets.Items {
		objects["Secret/"+secret.Name] = secret.ObjectMeta
	}
	return objects
}

// declaredNames is all that is declared at the hub.
func (v *victim) declaredNames() string {
	v.t.Helper()
	return v.fleetctl("get", "clusters,gitrepositories,kustomizations,placements", "-o", "name")
}

// checkInventory compares the inventory that the spoke keeps in the cluster with what is there: an entry an object.
func (v *victim) checkInventory() {
	v.t.Helper()
	shards, err := v.client(v.m).CoreV1().ConfigMaps("flotilla-system").List(v.t.Context(), metav1.ListOptions{LabelSelector: "fleet.flotilla.dev/inventory"})
	if err != nil {
		v.t.Fatal(err)
	}
	entries := map[string]string{}
	for _, line := range inventoryLines(shards.Items) {
		var entry struct{ Kind, Name, UID string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			v.t.Fatalf("inventory line %q: %v", line, err)
		}
		ref := entry.Kind + "/" + entry.Name
		if _, twice := entries[ref]; twice {
			v.t.Errorf("the inventory has %s twice", ref)
		}
		entries[ref] = entry.UID
	}
	uids := map[string]string{}
	for ref, meta := range v.live() {
		uids[ref] = string(meta.UID)
	}
	if !maps.Equal(entries, uids) {
		v.t.Errorf("the inventory has %v\nthe cluster %v", entries, uids)
	}
}

func inventoryLines(shards []corev1.ConfigMap) []string {
	var lines []string
	for _, shard := range shards {
		lines = append(lines, strings.Split(strings.TrimSpace(shard.Data["objects"]), "\n")...)
	}
	return lines
}
