package engine

import (
	"cmp"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/resid"
)

// rank is where an object comes in the order that kustomize calls legacy.
type rank struct {
	gvk resid.Gvk
	// kind and id are what kustomize compares, written out.
	kind, id string
}

func rankOf(id resid.ResId) rank {
	kind := strings.Join([]string{cmp.Or(id.Group, "~G"), cmp.Or(id.Version, "~V"), cmp.Or(id.Kind, "~K")}, "_")
	return rank{
		gvk: id.Gvk, kind: kind,
		id: strings.Join([]string{id.Gvk.String(), cmp.Or(id.Namespace, "~X"), cmp.Or(id.Name, "~N")}, "|"),
	}
}

// The kinds that come first and last unless a kustomization file says otherwise.
var (
	orderFirst = []string{
		"Namespace", "ResourceQuota", "StorageClass", "CustomResourceDefinition", "ServiceAccount", "PodSecurityPolicy", "Role", "ClusterRole",
		"RoleBinding", "ClusterRoleBinding", "ConfigMap", "Secret", "Endpoints", "Service", "LimitRange", "PriorityClass", "PersistentVolume",
		"PersistentVolumeClaim", "Deployment", "StatefulSet", "CronJob", "PodDisruptionBudget",
	}
	orderLast = []string{"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"}
)

// sortPrinted brings the objects into the order that the kustomization file at the top asks for.
func sortPrinted(all []*printed, options *types.SortOptions) error {
	first, last := orderFirst, orderLast
	switch {
	case options == nil || options.Order == types.FIFOSortOrder && options.LegacySortOptions == nil:
		return nil // as the resources were listed
	case options.Order != types.LegacySortOrder:
		return doubt("the field sortOptions")
	case options.LegacySortOptions != nil:
		first, last = options.LegacySortOptions.OrderFirst, options.LegacySortOptions.OrderLast
	}
	orders := map[string]int{}
	for i, kind := range first {
		orders[kind] = i - len(first)
	}
	for i, kind := range last {
		orders[kind] = 1 + i
	}
	compare := func(a, b *printed) int { return a.rank.compare(b.rank, orders) }
	slices.SortFunc(all, compare)
	for i := 1; i < len(all); i++ {
		if compare(all[i-1], all[i]) >= 0 {
			return doubt("two objects with one place in the order")
		}
	}
	return nil
}

func (r rank) compare(other rank, orders map[string]int) int {
	if r.gvk.Equals(other.gvk) {
		return strings.Compare(r.id, other.id)
	}
	if order := cmp.Compare(orders[r.gvk.Kind], orders[other.gvk.Kind]); order != 0 {
		return order
	}
	if r.gvk.Kind == types.NamespaceKind && other.gvk.Kind == types.NamespaceKind && (r.gvk.Group == "" || other.gvk.Group == "") {
		return strings.Compare(other.kind, r.kind)
	}
	return strings.Compare(r.kind, other.kind)
}
