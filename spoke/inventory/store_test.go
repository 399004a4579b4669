package inventory_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/inventory"
	"flotilla.dev/flotilla/test/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }

var app = fleet.Key{Home: "hub", Kind: "Kustomization", Namespace: "apps", Name: "app"}

func newStore(t *testing.T) (*inventory.Store, typedcorev1.ConfigMapInterface) {
	t.Helper()
	t.Parallel()
	cluster := lab.TestCluster(t)
	client, err := kubernetes.NewForConfig(cluster.REST())
	if err != nil {
		t.Fatal(err)
	}
	configMaps := client.CoreV1().ConfigMaps(lab.TestNamespace(t, cluster))
	return inventory.NewStore(configMaps), configMaps
}

func full(i int) inventory.Entry {
	return inventory.Entry{
		Ref:     fleet.ObjectRef{Group: "apps", Version: "v1", Kind: "Deployment", Namespace: "apps", Name: fmt.Sprintf("object-%05d", i)},
		UID:     fmt.Sprintf("00000000-0000-0000-0000-%012d", i),
		Applied: fleet.DigestOf(fmt.Append(nil, i)),
	}
}

func versions(t *testing.T, configMaps typedcorev1.ConfigMapInterface) map[string]string {
	t.Helper()
	list, err := configMaps.List(t.Context(), metav1.ListOptions{LabelSelector: "fleet.flotilla.dev/inventory"})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, cm := range list.Items {
		found[cm.Name] = cm.ResourceVersion
		if size := len(cm.Data["objects"]); size > 256<<10 {
			t.Errorf("%s has %d bytes", cm.Name, size)
		}
	}
	return found
}

func save(t *testing.T, store *inventory.Store, inv *inventory.Inventory) {
	t.Helper()
	if err := store.Save(t.Context(), inv); err != nil {
		t.Fatal(err)
	}
}

func load(t *testing.T, store *inventory.Store) *inventory.Inventory {
	t.Helper()
	inv, err := store.Load(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

func TestTwentyThousandObjectsAreKeptAndOneChangeWritesOneShard(t *testing.T) {
	store, configMaps := newStore(t)
	inv := inventory.New(app)
	for i := range 20_000 {
		intended := full(i)
		intended.UID, intended.Applied = "", fleet.Digest{}
		inv.Put(intended)
	}
	save(t, store, inv)
	for i := range 20_000 { // known now: no shard may outgrow its bound by that
		inv.Put(full(i))
	}
	save(t, store, inv)
	before := versions(t, configMaps)

	loaded := load(t, store)
	if diff := cmp.Diff(inv.Entries(), loaded.Entries()); diff != "" {
		t.Fatal(diff)
	}
	changed := full(12_345)
	changed.Applied = fleet.DigestOf([]byte("other"))
	changed.Kept, changed.Protected, changed.Fresh, changed.Going = true, true, true, true
	loaded.Put(changed)
	loaded.Put(full(1)) // as it is
	save(t, store, loaded)
	moved := 0
	for name, version := range versions(t, configMaps) {
		if before[name] != version {
			moved++
		}
	}
	if moved != 1 {
		t.Errorf("%d of %d shards were written", moved, len(before))
	}
	if got, _ := load(t, store).Get(changed.Ref); got != changed {
		t.Errorf("it is %+v", got)
	}
}

func TestTheOriginIsKeptWithTheEntries(t *testing.T) {
	store, configMaps := newStore(t)
	inv := inventory.New(app)
	for i := range 1000 {
		inv.Put(full(i))
	}
	save(t, store, inv)
	inv.SetOrigin("somewhere")
	save(t, store, inv)
	loaded := load(t, store)
	if loaded.Origin() != "somewhere" {
		t.Errorf("it is %q", loaded.Origin())
	}
	before := versions(t, configMaps)
	loaded.SetOrigin("somewhere")
	save(t, store, loaded)
	if diff := cmp.Diff(before, versions(t, configMaps)); diff != "" || len(before) < 2 {
		t.Errorf("%d shards, written for nothing: %s", len(before), diff)
	}
	for i := range 999 { // whichever shard is left has it
		loaded.Remove(full(i).Ref)
	}
	save(t, store, loaded)
	if again := load(t, store); again.Origin() != "somewhere" {
		t.Errorf("it is %q", again.Origin())
	}
}

func TestAnInventoryWithoutEntriesIsGone(t *testing.T) {
	store, configMaps := newStore(t)
	inv := inventory.New(app)
	inv.Put(full(1))
	save(t, store, inv)
	inv.Remove(full(1).Ref)
	save(t, store, inv)
	if left := versions(t, configMaps); len(left) != 0 {
		t.Errorf("there are %v", left)
	}
	inv.Put(full(2))
	save(t, store, inv)
	apps, err := store.Apps(t.Context())
	if err != nil || len(apps) != 1 || apps[0] != app {
		t.Errorf("apps %v, %v", apps, err)
	}
	if err := store.Drop(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	if left := versions(t, configMaps); len(left) != 0 {
		t.Errorf("there are %v", left)
	}
}

func TestAnotherWriterIsNoticed(t *testing.T) {
	store, configMaps := newStore(t)
	inv := inventory.New(app)
	inv.Put(full(1))
	save(t, store, inv)

	// A label is nobody's business.
	list, err := configMaps.List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range list.Items {
		if !strings.HasPrefix(list.Items[i].Name, "inventory-") {
			continue
		}
		list.Items[i].Labels["x"] = "y"
		if _, err := configMaps.Update(t.Context(), &list.Items[i], metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	inv.Put(full(2))
	save(t, store, inv)

	other := load(t, store)
	other.Put(full(3))
	save(t, store, other)
	inv.Put(full(4))
	if err := store.Save(t.Context(), inv); !errors.Is(err, fleet.ErrConflict) {
		t.Errorf("error %v", err)
	}
}

func TestAShardThatSomebodyDeletedIsWrittenAgain(t *testing.T) {
	store, configMaps := newStore(t)
	inv := inventory.New(app)
	inv.Put(full(1))
	save(t, store, inv)
	for name := range versions(t, configMaps) {
		if err := configMaps.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	inv.Put(full(2))
	save(t, store, inv)
	if n := load(t, store).Len(); n != 2 {
		t.Errorf("%d entries", n)
	}
}

// An object that was deleted and made anew may be in two shards after a crash. It must not take over the mark by which
// its predecessor was let go.
func TestAnEntryInTwoShardsIsMarkedOnlyIfBothSay(t *testing.T) {
	store, configMaps := newStore(t)
	inv := inventory.New(app)
	one := full(1)
	one.Going, one.Fresh = true, true
	two := full(2)
	two.Going, two.Fresh = true, true
	inv.Put(one)
	inv.Put(two)
	save(t, store, inv)
	for name := range versions(t, configMaps) {
		cm, err := configMaps.Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(cm.Data["objects"], "\n")
		lines[0] = strings.NewReplacer(`,"going":true`, "", `,"fresh":true`, "").Replace(lines[0])
		cm.Name, cm.ResourceVersion = strings.TrimSuffix(cm.Name, "0")+"1", ""
		cm.Data["objects"] = strings.Join(lines, "\n")
		if _, err := configMaps.Create(t.Context(), cm, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	loaded := load(t, store)
	if got, _ := loaded.Get(one.Ref); got.Going || got.Fresh {
		t.Errorf("the shards disagree, and it is %+v", got)
	}
	if got, _ := loaded.Get(two.Ref); got != two {
		t.Errorf("the shards agree, and it is %+v", got)
	}
}

func TestAnInventoryThatCannotBeReadIsNotTakenForAnEmptyOne(t *testing.T) {
	store, configMaps := newStore(t)
	inv := inventory.New(app)
	inv.Put(full(1))
	save(t, store, inv)
	other := inventory.New(fleet.Key{Home: "hub", Kind: "Kustomization", Namespace: "apps", Name: "other"})
	other.Put(full(2))
	save(t, store, other)
	for name := range versions(t, configMaps) {
		cm, err := configMaps.Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if cm.Annotations["fleet.flotilla.dev/app"] != app.String() {
			continue
		}
		cm.Data["objects"] += "{broken"
		if _, err := configMaps.Update(t.Context(), cm, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	all, err := store.List(t.Context())
	if err != nil || len(all) != 2 {
		t.Fatalf("%v, %v", all, err)
	}
	if all[0].Broken() == nil || all[1].Broken() != nil {
		t.Errorf("broken: %v, %v", all[0].Broken(), all[1].Broken())
	}
	if err := all[0].Broken(); !strings.Contains(err.Error(), "ConfigMap/") || !strings.Contains(err.Error(), "delete it") {
		t.Errorf("there is no way out in %q", err)
	}
	if err := store.Save(t.Context(), all[0]); err == nil {
		t.Error("it was saved")
	}
}
