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
		status.ObservedGeneration = neverObserved
	}
	c := conditions{observed: status.ObservedGeneration}
	since := latest(*object.Metadata.CreationTimestamp, state.ReadySince)
	fetched := !state.Tree.IsZero()
	looked := state.CheckedAt.Year() > 2000 // at what it means now; what is stored may be of what it meant before
	stored := fleet.Condition{Status: fleet.True, Reason: "Succeeded", Message: "stored artifact for revision '" + string(state.Revision) + "'"}
	switch {
	case state.Reason != "":
		failed := standing{fleet.Condition{Status: fleet.False, Reason: state.Reason, Message: state.Message}, since}
		c.add(ready, failed)
		c.add(fetchFailed, failed.as(state.Reason))
	case fetched && looked:
		c.add(ready, standing{stored, since})
	default:
		c.addReady(standing{unknown(fleet.ReasonProgressing, "waiting to be fetched"), since})
	}
	if fetched {
		status.Artifact = &artifact{Revision: string(state.Revision), Digest: state.Tree.String(), LastUpdateTime: state.FetchedAt.UTC()}
		c.add(artifactInStorage, standing{stored, state.StoredSince})
	}
	status.Conditions = c.list
	return status
}
