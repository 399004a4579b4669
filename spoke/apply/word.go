package apply

import (
	"context"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Find returns the kind that a person means by a word, and where its objects are: kind, plural, singular or short name,
// with the group behind a dot or without. Of several, the API server's own come first. The error wraps fleet.ErrNotFound
// when the cluster has no such kind.
func (m *Mapper) Find(ctx context.Context, word string) (fleet.ObjectRef, Mapping, error) {
	lists, err := m.discovery.ServerPreferredResourcesWithContext(ctx)
	if len(lists) == 0 && err != nil { // a broken aggregated API hides its own kinds only
		return fleet.ObjectRef{}, Mapping{}, fmt.Errorf("discover: %w", err)
	}
	word = strings.ToLower(word)
	var best fleet.ObjectRef
	var where Mapping
	rank := 3
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			continue // no group of this API server's has such a name
		}
		for _, resource := range list.APIResources {
			if !means(word, gv.Group, resource) {
				continue
			}
			if r := rankOf(gv.Group); r < rank {
				rank = r
				best = fleet.ObjectRef{Group: gv.Group, Version: gv.Version, Kind: resource.Kind}
				where = Mapping{Resource: gv.WithResource(resource.Name), Namespaced: resource.Namespaced}
			}
		}
	}
	if rank == 3 {
		return best, where, fmt.Errorf("%w: the cluster has no kind that is called %q", fleet.ErrNotFound, word)
	}
	return best, where, nil
}

func rankOf(group string) int {
	switch {
	case group == "":
		return 0
	case builtIn(group):
		return 1
	}
	return 2
}

func means(word, group string, resource metav1.APIResource) bool {
	name, of, qualified := strings.Cut(word, ".")
	if qualified && of != group {
		return false
	}
	return name == resource.Name || name == resource.SingularName || name == strings.ToLower(resource.Kind) || slices.Contains(resource.ShortNames, name)
}
