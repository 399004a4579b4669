package api

import (
	"strings"
	"time"

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

func statusOfCluster(object *resource.Object, state fleet.ClusterStatus, instances []fleet.Instance) clusterStatus {
	status := clusterStatus{ObservedGeneration: object.Metadata.Generation, ClusterID: state.ID,
		SpokeVersion: state.Facts.SpokeVersion, KubernetesVersion: state.Facts.KubernetesVersion}
	at := *object.Metadata.CreationTimestamp
	if state.LastSeen.Year() > 2000 {
		seen := state.LastSeen.UTC()
		status.LastSeen, at = &seen, seen
	}
	if state.State.Version > 0 {
		status.State, status.AcknowledgedState = state.State.String(), state.Acknowledged.String()
	}
	var failing []string
	for _, i := range instances {
		c := readyOf(i)
		status.Apps.add(i, c)
		if c.Status == fleet.False {
			failing = append(failing, i.Assignment.App.Kind+"/"+i.Assignment.App.Namespace+"/"+i.Assignment.App.Name)
		}
	}
	for _, key := range state.UnknownAssignments {
		status.UnknownAssignments = append(status.UnknownAssignments, key.Kind+"/"+key.Namespace+"/"+key.Name)
	}
	link := linkOf(state)
	status.Conditions = append(status.Conditions,
		newCondition(ready, clusterReady(object, state, status, link, failing), at),
		newCondition(connected, link, at))
	if state.SafeMode != "" {
		status.Conditions = append(status.Conditions, newCondition(safeMode, fleet.Condition{Status: fleet.True, Reason: "HubBehind",
			Message: state.SafeMode + "; nothing is sent to it until `fleetctl hub recover`"}, at))
	}
	return status
}

// linkOf is the Connected condition.
func linkOf(state fleet.ClusterStatus) fleet.Condition {
	switch {
	case state.Connected:
		return fleet.Condition{Status: fleet.True, Reason: "Connected", Message: "the spoke is connected"}
	case !state.Enrolled && state.LastSeen.Year() < 2000:
		return fleet.Condition{Status: fleet.False, Reason: "NotEnrolled", Message: "no spoke has redeemed a join token yet: `fleetctl cluster register` prints one"}
	}
	return fleet.Condition{Status: fleet.False, Reason: fleet.ReasonUnreachable, Message: "last heard of at " + state.LastSeen.UTC().Format(time.RFC3339)}
}

func clusterReady(object *resource.Object, state fleet.ClusterStatus, status clusterStatus, link fleet.Condition, failing []string) fleet.Condition {
	switch {
	case object.Metadata.DeletionTimestamp != nil:
		return fleet.Condition{Status: fleet.Unknown, Reason: "Terminating", Message: "waiting for its spoke to let go of " + plural(status.Apps.Total, "App") + "; --now does not wait"}
	case !state.Connected:
		return fleet.Condition{Status: fleet.Unknown, Reason: link.Reason, Message: link.Message}
	case state.SafeMode != "":
		return fleet.Condition{Status: fleet.False, Reason: safeMode, Message: state.SafeMode}
	case len(failing) > 0:
		return fleet.Condition{Status: fleet.False, Reason: fleet.ReasonFailed, Message: "not ready: " + strings.Join(failing, ", ")}
	case status.Apps.Ready < status.Apps.Total:
		return fleet.Condition{Status: fleet.Unknown, Reason: fleet.ReasonProgressing, Message: plural(status.Apps.Total-status.Apps.Ready, "App") + " in progress"}
	}
	return fleet.Condition{Status: fleet.True, Reason: "Ready", Message: plural(status.Apps.Total, "App") + " ready"}
}
