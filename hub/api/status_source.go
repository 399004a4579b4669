package api

import (
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

// sourceStatus is the status of a Source, as Flux has it.
type sourceStatus struct {
	ObservedGeneration     int64       `json:"observedGeneration"`
	Conditions             []condition `json:"conditions"`
	Artifact               *artifact   `json:"artifact,omitempty"`
	LastHandledReconcileAt string      `json:"lastHandledReconcileAt,omitempty"`
}

// artifact is the Tree that was fetched last.
type artifact struct {
	Revision       string    `json:"revision"`
	Digest         string    `json:"digest"`
	LastUpdateTime time.Time `json:"lastUpdateTime"`
}

func statusOfSource(object *resource.Object, state fleet.SourceState) sourceStatus {
	status := sourceStatus{ObservedGeneration: state.ObservedGeneration, LastHandledReconcileAt: state.HandledReconcileAt}
	if state.Version == 0 {
		status.ObservedGeneration = -1 // nobody has looked at it
	}
	at := *object.Metadata.CreationTimestamp
	looked := state.CheckedAt.Year() > 2000 // at what it means now; what is stored may be of what it meant before
	if looked {
		at = state.CheckedAt
	}
	fetched := !state.Tree.IsZero()
	if fetched {
		status.Artifact = &artifact{Revision: string(state.Revision), Digest: state.Tree.String(), LastUpdateTime: state.FetchedAt.UTC()}
	}
	stored := fleet.Condition{Status: fleet.True, Reason: "Succeeded", Message: "stored artifact for revision '" + string(state.Revision) + "'"}
	switch {
	case state.Reason != "":
		failed := fleet.Condition{Status: fleet.False, Reason: state.Reason, Message: state.Message}
		status.Conditions = append(status.Conditions, newCondition(ready, failed, at))
		failed.Status = fleet.True
		status.Conditions = append(status.Conditions, newCondition(fetchFailed, failed, at))
	case fetched && looked:
		status.Conditions = append(status.Conditions, newCondition(ready, stored, at))
	default:
		waiting := fleet.Condition{Status: fleet.Unknown, Reason: fleet.ReasonProgressing, Message: "waiting to be fetched"}
		status.Conditions = append(status.Conditions, newCondition(ready, waiting, at))
		waiting.Status = fleet.True
		status.Conditions = append(status.Conditions, newCondition(reconciling, waiting, at))
	}
	if fetched {
		status.Conditions = append(status.Conditions, newCondition(artifactInStorage, stored, state.FetchedAt))
	}
	return status
}
