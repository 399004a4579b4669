package manifest

import (
	"slices"
	"strings"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Stage orders what others need in order to be accepted at all.
type Stage uint8

// The stages, as Flux has them (fluxcd/pkg ssa, ApplyAllStaged).
const (
	StageDefinitions Stage = iota // CustomResourceDefinitions, Namespaces, ClusterRoles
	StageClasses                  // kinds that end in Class
	StageRest
)

// Group orders objects within a stage: accounts, RBAC and configuration before services, before workloads, webhooks
// last. It is the place of the object's kind in Flux's reconcile order.
type Group uint8

// Flux's reconcile order (fluxcd/pkg ssa, ReconcileOrder): these kinds first, then all others, then the last ones. As
// in Flux, only the kind counts, not its API group.
var (
	orderFirst = []string{
		"CustomResourceDefinition", "Namespace", "ClusterRole",
		"ClusterClass", "RuntimeClass", "PriorityClass", "StorageClass", "VolumeSnapshotClass", "IngressClass", "GatewayClass",
		"ClusterRoleBinding", "ResourceQuota", "ServiceAccount", "Role", "RoleBinding", "ConfigMap", "Secret",
		"Service", "LimitRange", "Deployment", "StatefulSet", "CronJob", "PodDisruptionBudget",
	}
	orderLast = []string{"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"}
)

// StageOf returns the stage in which an object is applied.
func StageOf(ref fleet.ObjectRef) Stage {
	switch {
	case ref.Kind == "CustomResourceDefinition" && ref.Group == "apiextensions.k8s.io",
		ref.Kind == "Namespace" && ref.Group == "",
		ref.Kind == "ClusterRole" && ref.Group == "rbac.authorization.k8s.io":
		return StageDefinitions
	case strings.HasSuffix(ref.Kind, "Class"):
		return StageClasses
	}
	return StageRest
}

// GroupOf returns the place of an object within its stage.
func GroupOf(ref fleet.ObjectRef) Group {
	if i := slices.Index(orderFirst, ref.Kind); i >= 0 {
		return Group(i)
	}
	// The others share the group after those; the last kinds, at index 0 and up, follow it.
	return Group(len(orderFirst) + 1 + slices.Index(orderLast, ref.Kind))
}
