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

// statusOfPlacement is what a Placement comes to.
func statusOfPlacement(object *resource.Object, spec fleet.Placement, placed fleet.Placed, state fleet.PlacementState) placementStatus {
	c := conditions{observed: object.Metadata.Generation}
	c.addReady(standing{placementReady(object.Metadata.Namespace, spec, placed), latest(*object.Metadata.CreationTimestamp, state.ReadySince)})
	return placementStatus{ObservedGeneration: object.Metadata.Generation, Conditions: c.list, Matched: placed.Matched}
}

func placementReady(namespace string, spec fleet.Placement, placed fleet.Placed) fleet.Condition {
	c := fleet.Condition{Status: placed.Ready()}
	switch {
	case len(placed.MissingApps) > 0:
		missing := make([]string, len(placed.MissingApps))
		for n, app := range placed.MissingApps {
			missing[n] = app.Kind + "/" + namespace + "/" + app.Name
		}
		c.Reason, c.Message = "AppNotFound", "not declared: "+strings.Join(missing, ", ")
	case len(placed.MissingClusters) > 0:
		c.Reason, c.Message = "ClusterNotFound", "not registered: "+strings.Join(placed.MissingClusters, ", ")
	case placed.MissingPolicy != "":
		c.Reason = "RolloutPolicyNotFound"
		c.Message = "not declared: " + resource.RolloutPolicy.Name + "/" + placed.MissingPolicy + "; nothing new goes to any cluster until it is"
	case len(placed.Matched) == 0:
		c.Reason, c.Message = reasonNoClusters, "no cluster matches"
	default:
		c.Reason, c.Message = "Placed", plural(len(spec.Apps), "App")+" on "+plural(len(placed.Matched), "cluster")
	}
	if len(placed.Tainted) > 0 {
		c.Message += "; taints that it does not tolerate are on " + listed(placed.Tainted)
	}
	return c
}
