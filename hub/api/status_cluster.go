package api

import (
	"slices"
	"time"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

// clusterStatus is the status of a Cluster.
type clusterStatus struct {
	ObservedGeneration int64       `json:"observedGeneration"`
	Conditions         []condition `json:"conditions"`
	ClusterID          string      `json:"clusterID"`
	LastSeen           *time.Time  `json:"lastSeen,omitempty"`
	SpokeVersion       string      `json:"spokeVersion,omitempty"`
	KubernetesVersion  string      `json:"kubernetesVersion,omitempty"`
	// State is the newest desired state, AcknowledgedState what the spoke works from, as epoch.version.
	State              string   `json:"state,omitempty"`
	AcknowledgedState  string   `json:"acknowledgedState,omitempty"`
	Apps               counts   `json:"apps"`
	UnknownAssignments []string `json:"unknownAssignments,omitempty"`
}

// statusOfCluster is what is known of a Cluster. whole and held say who keeps the fleet, or it, from going forward; nil: nobody.
func statusOfCluster(object *resource.Object, state fleet.ClusterStatus, instances []fleet.Instance, whole, held *rollout.Freeze) clusterStatus {
	status := clusterStatus{ObservedGeneration: object.Metadata.Generation, ClusterID: state.ID,
		SpokeVersion: state.Facts.SpokeVersion, KubernetesVersion: state.Facts.KubernetesVersion}
	if wasSeen(state.LastSeen) {
		seen := state.LastSeen.UTC()
		status.LastSeen = &seen
	}
	if state.State.Version > 0 {
		status.State, status.AcknowledgedState = state.State.String(), state.Acknowledged.String()
	}
	places := make([]place, len(instances))
	for n := range instances {
		app := instances[n].Assignment.App
		places[n] = place{cluster: app.Kind + "/" + app.Namespace + "/" + app.Name, instance: &instances[n], ready: readyOf(instances[n])}
		status.Apps.add(places[n])
	}
	status.Apps.Held = len(holding(instances))
	for _, key := range state.UnknownAssignments {
		status.UnknownAssignments = append(status.UnknownAssignments, key.Kind+"/"+key.Namespace+"/"+key.Name)
	}
	c := conditions{observed: status.ObservedGeneration}
	link := linkOf(state)
	c.add(ready, clusterReady(object, state, link, places))
	c.add(connected, link)
	c.add(safeMode, safeModeOf(state))
	if held != nil {
		c.add(heldCondition, heldOf(*held, *object.Metadata.CreationTimestamp))
	}
	if whole != nil {
		c.add(frozenCondition, heldOf(*whole, *object.Metadata.CreationTimestamp))
	}
	status.Conditions = c.list
	return status
}

// heldOf is the condition of a cluster that is held, or whose fleet is frozen. When a declaration began to say so is not
// known: not before the cluster was there.
func heldOf(f rollout.Freeze, declared time.Time) standing {
	c := fleet.Condition{Status: fleet.True, Reason: "Frozen", Message: "nothing new goes there: " + f.Reason}
	if f.Actor == "" {
		c.Reason = "Declared"
		return standing{c, declared}
	}
	c.Message += " (" + f.Actor + ")"
	return standing{c, f.At}
}

// linkOf is the Connected condition.
func linkOf(state fleet.ClusterStatus) standing {
	c := fleet.Condition{Status: fleet.False, Reason: fleet.ReasonUnreachable, Message: "last heard of at " + state.LastSeen.UTC().Format(time.RFC3339)}
	switch {
	case state.Connected:
		c = fleet.Condition{Status: fleet.True, Reason: "Connected", Message: "the spoke is connected"}
	case !wasSeen(state.LastSeen) && !state.Enrolled:
		c.Reason, c.Message = reasonNotEnrolled, "no spoke has redeemed a join token yet: `fleetctl cluster register` prints one"
	case !wasSeen(state.LastSeen):
		c.Message = "its spoke has enrolled and not connected yet"
	}
	return standing{c, state.ConnectedSince}
}

// safeModeOf is the SafeMode condition.
func safeModeOf(state fleet.ClusterStatus) standing {
	c := fleet.Condition{Status: fleet.False, Reason: "HubCurrent", Message: "the hub knows the state that the spoke works from"}
	if state.SafeMode != "" {
		c = fleet.Condition{Status: fleet.True, Reason: "HubBehind", Message: state.SafeMode + "; nothing is sent to it until `fleetctl hub recover`"}
	}
	return standing{c, state.SafeModeSince}
}

// clusterReady is the Ready condition: True when the cluster is heard and every App is ready there.
func clusterReady(object *resource.Object, state fleet.ClusterStatus, link standing, apps []place) standing {
	t := tally(apps)
	heard := latest(state.ConnectedSince, state.SafeModeSince)
	switch {
	case object.Metadata.DeletionTimestamp != nil:
		since := *object.Metadata.DeletionTimestamp
		if !state.Connected {
			since = earliest(since, state.ConnectedSince)
		}
		return standing{unknown("Terminating", "waiting for its spoke to let go of "+plural(len(apps), "App")+"; --now does not wait"), since}
	case !state.Connected:
		since := link.since
		failed := func(p place) bool {
			last := lastWord(*p.instance)
			return last.Status == fleet.False && last.Reason != fleet.ReasonDependency
		}
		if !slices.ContainsFunc(apps, failed) { // else it was False until then
			since = earliest(since, t.unknownSince)
		}
		return standing{unknown(link.Reason, link.Message), since}
	case state.SafeMode != "":
		return standing{fleet.Condition{Status: fleet.False, Reason: safeMode, Message: state.SafeMode}, heard}
	case len(t.failing) > 0:
		names := make([]string, len(t.failing))
		for n, f := range t.failing {
			names[n] = f.cluster
		}
		return standing{fleet.Condition{Status: fleet.False, Reason: fleet.ReasonFailed, Message: "not ready: " + listed(names)}, latest(heard, t.failedSince)}
	case t.missing():
		missing, since := len(t.waiting)+len(t.suspended)+len(t.dependent), t.unknownSince
		if !since.After(state.ConnectedSince) { // it was unknown through the absence before
			since = earliest(since, state.AwaySince)
		}
		return standing{unknown(t.reason(), plural(missing, "App")+" in progress"), latest(state.SafeModeSince, since)}
	}
	return standing{fleet.Condition{Status: fleet.True, Reason: "Ready", Message: plural(len(apps), "App") + " ready"}, latest(heard, t.readySince)}
}
