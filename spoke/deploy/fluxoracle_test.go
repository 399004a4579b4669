package deploy_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/polling"
	"github.com/fluxcd/cli-utils/pkg/object"
	"github.com/fluxcd/pkg/ssa"
	"github.com/fluxcd/pkg/ssa/normalize"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// fluxOracle is what Flux's kustomize-controller does with the objects of the test's App, by the library that it does it
// with.
type fluxOracle struct {
	*bundle
	manager *ssa.ResourceManager
	// inventory is what Flux's object would have in its status.
	inventory []fluxEntry
}

// fluxEntry is an entry of a Flux object's status.inventory.
type fluxEntry struct {
	ID      string `json:"id"`
	Version string `json:"v"`
}

const fluxLabels = "kustomize.toolkit.fluxcd.io"

func (b *bundle) oracle() *fluxOracle {
	b.Helper()
	config := b.cluster.REST()
	config.UserAgent = "flux-" + b.namespace
	c, err := client.New(config, client.Options{})
	if err != nil {
		b.Fatal(err)
	}
	poller := polling.NewStatusPoller(c, c.RESTMapper(), polling.Options{})
	manager := ssa.NewResourceManager(c, poller, ssa.Owner{Field: "kustomize-controller", Group: fluxLabels})
	manager.SetConcurrency(4)
	return &fluxOracle{bundle: b, manager: manager}
}

// reconcile applies objects and prunes what the inventory has besides, as a reconciliation would, and returns what
// became of each object.
func (f *fluxOracle) reconcile(objects ...string) map[string]ssa.Action {
	f.Helper()
	desired := make([]*unstructured.Unstructured, len(objects))
	for i, o := range objects {
		desired[i] = f.unstructured(o)
	}
	f.manager.SetOwnerLabels(desired, f.app.Name, f.app.Namespace)
	if err := normalize.UnstructuredList(desired); err != nil {
		f.Fatal(err)
	}
	set, err := f.manager.ApplyAllStaged(f.Context(), desired, fluxOptions())
	if err != nil {
		f.Fatal(err)
	}
	var inventory []fluxEntry
	for _, entry := range set.Entries {
		inventory = append(inventory, fluxEntry{entry.ObjMetadata.String(), entry.GroupVersion})
	}
	var stale []*unstructured.Unstructured
	for _, entry := range f.inventory {
		if slices.ContainsFunc(inventory, func(e fluxEntry) bool { return e.ID == entry.ID }) {
			continue
		}
		meta, err := object.ParseObjMetadata(entry.ID)
		if err != nil {
			f.Fatal(err)
		}
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(schema.GroupVersionKind{Group: meta.GroupKind.Group, Version: entry.Version, Kind: meta.GroupKind.Kind})
		u.SetNamespace(meta.Namespace)
		u.SetName(meta.Name)
		stale = append(stale, u)
	}
	pruned, err := f.manager.DeleteAll(f.Context(), stale, ssa.DeleteOptions{
		PropagationPolicy: metav1.DeletePropagationBackground,
		Inclusions:        f.manager.GetOwnerLabels(f.app.Name, f.app.Namespace),
		Exclusions:        map[string]string{fluxLabels + "/prune": "disabled", fluxLabels + "/reconcile": "disabled", fluxLabels + "/ssa": "Ignore"},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.inventory = inventory
	set.Append(pruned.Entries)
	return set.ToMap()
}

// fluxOptions are those of kustomize-controller.
func fluxOptions() ssa.ApplyOptions {
	options := ssa.DefaultApplyOptions()
	options.WaitInterval = 100 * time.Millisecond
	options.ExclusionSelector = map[string]string{fluxLabels + "/reconcile": "disabled", fluxLabels + "/ssa": "Ignore"}
	options.IfNotPresentSelector = map[string]string{fluxLabels + "/ssa": "IfNotPresent"}
	options.ForceSelector = map[string]string{fluxLabels + "/force": "enabled"}
	options.Cleanup = ssa.ApplyCleanupOptions{
		Annotations: []string{lastApplied, fluxLabels + "/checksum", "fluxcd.io/sync-checksum"},
		Labels:      []string{"fluxcd.io/sync-gc-mark"},
		FieldManagers: []ssa.FieldManager{
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationApply},
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationUpdate},
			{Name: "before-first-apply", OperationType: metav1.ManagedFieldsOperationUpdate},
			{Name: "kustomize-controller", OperationType: metav1.ManagedFieldsOperationUpdate},
		},
		Exclusions: map[string]string{fluxLabels + "/ssa": "Merge"},
	}
	return options
}

// declare makes Flux's object as it is after the last reconciliation, suspended or not.
func (f *fluxOracle) declare(suspended bool) {
	f.Helper()
	f.declareWith(suspended, f.inventory)
}

func (f *fluxOracle) declareWith(suspended bool, inventory []fluxEntry) {
	f.Helper()
	f.defineFlux()
	entries, err := json.Marshal(inventory)
	if err != nil {
		f.Fatal(err)
	}
	f.eventually("the Flux object is there", func() error {
		return f.create(kustomizations, fmt.Sprintf(
			`{"apiVersion":"kustomize.toolkit.fluxcd.io/v1","kind":"Kustomization","metadata":{"name":"app","namespace":%q},
			"spec":{"path":"./","suspend":%t},"status":{"inventory":{"entries":%s}}}`, f.namespace, suspended, entries))
	})
}

// live has each object as it is in the cluster, whole.
func (f *fluxOracle) live(objects ...string) map[string]string {
	f.Helper()
	found := map[string]string{}
	for _, text := range objects {
		u := f.unstructured(text)
		live := &unstructured.Unstructured{}
		live.SetGroupVersionKind(u.GroupVersionKind())
		if err := f.manager.Client().Get(f.Context(), client.ObjectKeyFromObject(u), live); err != nil {
			f.Fatal(err)
		}
		delete(live.Object, "status") // controllers go on
		metadata := live.Object["metadata"].(map[string]any)
		fields := metadata["managedFields"].([]any)
		metadata["managedFields"] = slices.DeleteFunc(fields, func(entry any) bool {
			return entry.(map[string]any)["subresource"] == "status"
		})
		data, err := json.Marshal(live)
		if err != nil {
			f.Fatal(err)
		}
		found[strings.Join([]string{u.GetKind(), u.GetNamespace(), u.GetName()}, "/")] = string(data)
	}
	return found
}
