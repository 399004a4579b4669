package api

import (
	"strings"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

// placementStatus is the status of a Placement.
type placementStatus struct {
	ObservedGeneration int64       `json:"observedGeneration"`
	Conditions         []condition `json:"conditions"`
	// Matched are the names of the clusters it chooses now.
	Matched []string `json:"matched"`
}

// statusOfPlacement is what a Placement chooses among the clusters, and whether its Apps (by kind and name) are there.
func statusOfPlacement(object *resource.Object, spec fleet.Placement, clusters []*resource.Object, declared map[fleet.AppRef]bool) placementStatus {
	status := placementStatus{ObservedGeneration: object.Metadata.Generation, Matched: []string{}}
	known := map[string]bool{}
	for _, cluster := range clusters {
		known[cluster.Metadata.Name] = true
		if cluster.Metadata.DeletionTimestamp == nil && spec.Clusters.Matches(cluster.Metadata.Name, cluster.Metadata.Labels) {
			status.Matched = append(status.Matched, cluster.Metadata.Name)
		}
	}
	var missing, strangers []string
	for _, app := range spec.Apps {
		if !declared[app] {
			missing = append(missing, app.Kind+"/"+object.Metadata.Namespace+"/"+app.Name)
		}
	}
	for _, name := range spec.Clusters.Names {
		if !known[name] {
			strangers = append(strangers, name)
		}
	}
	c := fleet.Condition{Status: fleet.True, Reason: "Placed", Message: plural(len(spec.Apps), "App") + " on " + plural(len(status.Matched), "cluster")}
	switch {
	case len(missing) > 0:
		c = fleet.Condition{Status: fleet.False, Reason: "AppNotFound", Message: "not declared: " + strings.Join(missing, ", ")}
	case len(strangers) > 0:
		c = fleet.Condition{Status: fleet.False, Reason: "ClusterNotFound", Message: "not registered: " + strings.Join(strangers, ", ")}
	case len(status.Matched) == 0:
		c = fleet.Condition{Status: fleet.Unknown, Reason: "NoClusters", Message: "no cluster matches"}
	}
	status.Conditions = []condition{newCondition(ready, c, *object.Metadata.CreationTimestamp)}
	return status
}
