package api

import (
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
)

// condition is one condition of a status, as Kubernetes has it. lastTransitionTime is when the hub heard of it.
type condition struct {
	Type               string                `json:"type"`
	Status             fleet.ConditionStatus `json:"status"`
	Reason             string                `json:"reason"`
	Message            string                `json:"message"`
	ObservedGeneration int64                 `json:"observedGeneration,omitempty"`
	LastTransitionTime time.Time             `json:"lastTransitionTime"`
}

// The types of conditions.
const (
	ready             = "Ready"
	reconciling       = "Reconciling"
	healthy           = "Healthy"
	pruneHeld         = "PruneHeld"
	artifactInStorage = "ArtifactInStorage"
	fetchFailed       = "FetchFailed"
	connected         = "Connected"
	safeMode          = "SafeMode"
)

func newCondition(kind string, c fleet.Condition, at time.Time) condition {
	if c.Reason == "" {
		c.Reason = fleet.ReasonProgressing
	}
	if c.Status == "" {
		c.Status = fleet.Unknown
	}
	return condition{Type: kind, Status: c.Status, Reason: c.Reason, Message: c.Message, LastTransitionTime: at.UTC()}
}

// plural is "1 cluster" or "3 clusters".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return itoa(n) + " " + noun + "s"
}
