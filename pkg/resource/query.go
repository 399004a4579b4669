package resource

import "flotilla.dev/flotilla/pkg/fleet"

// Query selects declared objects of a kind.
type Query struct {
	Kind      string
	Namespace string // empty: all
	Name      string // empty: all
	// Since selects objects that were written, deleted ones included, from a horizon on.
	Since fleet.Horizon
}

// Change is what an Apply did.
type Change string

// The changes.
const (
	Created    Change = "created"
	Configured Change = "configured"
	Unchanged  Change = "unchanged"
)

// Deletion is a person's order to delete a declared object.
type Deletion struct {
	fleet.Order
	Kind, Namespace, Name string
	// Policy overrides an App's own; empty: what its spec says.
	Policy fleet.DeletionPolicy
	// Now ends a Cluster without waiting for its spoke.
	Now bool
}

// Candidates are declared Clusters as Placements look at them.
func Candidates(clusters []*Object) ([]fleet.Candidate, error) {
	candidates := make([]fleet.Candidate, len(clusters))
	for i, c := range clusters {
		m := c.Metadata
		candidates[i] = fleet.Candidate{Name: m.Name, Labels: m.Labels, Terminating: m.DeletionTimestamp != nil}
		if len(c.Spec) == 0 {
			continue
		}
		spec, err := Spec[fleet.Cluster](c)
		if err != nil {
			return nil, err
		}
		candidates[i].Taints = spec.Taints
	}
	return candidates, nil
}

// Names are those of objects without a namespace.
func Names(objects []*Object) map[string]bool {
	names := make(map[string]bool, len(objects))
	for _, o := range objects {
		names[o.Metadata.Name] = true
	}
	return names
}
