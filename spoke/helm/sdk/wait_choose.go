package sdk

import (
	"helm.sh/helm/v4/pkg/kube"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/resource"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/health"
)

// choose leaves out objects that are as they are to be by being there, and Deployments that do not roll out.
func (w *waiter) choose(objects kube.ResourceList, awaited func(*resource.Info) bool) (out kube.ResourceList) {
	for _, info := range objects {
		if !paused(info) && awaited(info) {
			out = append(out, info)
		}
	}
	return out
}

func (w *waiter) hasState(info *resource.Info) bool {
	ref := refOf(info)
	return w.action.health.Judges(ref) || !health.Stateless(ref)
}

func (w *waiter) isAwaitedHook(info *resource.Info) bool {
	return w.action.health.Judges(refOf(info)) || isJob(info.Mapping.GroupVersionKind) || isPod(info.Mapping.GroupVersionKind)
}

// paused reports whether an object is a Deployment that does not roll out, which nobody waits for.
func paused(info *resource.Info) bool {
	if gvk := info.Mapping.GroupVersionKind; gvk.Group != "apps" || gvk.Kind != "Deployment" {
		return false
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(info.Object)
	is, _, _ := unstructured.NestedBool(content, "spec", "paused")
	return err == nil && is
}

func refOf(info *resource.Info) fleet.ObjectRef {
	gvk := info.Mapping.GroupVersionKind
	return fleet.ObjectRef{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind, Namespace: info.Namespace, Name: info.Name}
}

func isPod(gvk schema.GroupVersionKind) bool { return gvk.Group == "" && gvk.Kind == "Pod" }

func isJob(gvk schema.GroupVersionKind) bool { return gvk.Group == "batch" && gvk.Kind == "Job" }
