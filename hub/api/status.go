package api

import (
	"strings"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
)

// condition is one condition of a status, as Kubernetes has it: lastTransitionTime is when its status last changed.
type condition struct {
	Type               string                `json:"type"`
	Status             fleet.ConditionStatus `json:"status"`
	Reason             string                `json:"reason"`
	Message            string                `json:"message"`
	ObservedGeneration int64                 `json:"observedGeneration,omitempty"`
	LastTransitionTime time.Time             `json:"lastTransitionTime"`
}

// The types of conditions. Reconciling, Stalled, PruneHeld, Held, Frozen and what failed of a Source are there while they
// are True, as in Flux; SourceVerified where that is asked for.
const (
	ready              = "Ready"
	reconciling        = "Reconciling"
	stalled            = "Stalled"
	healthy            = "Healthy"
	pruneHeld          = "PruneHeld"
	artifactInStorage  = "ArtifactInStorage"
	sourceVerified     = "SourceVerified"
	fetchFailed        = "FetchFailed"
	storageFailed      = "StorageOperationFailed"
	includeUnavailable = "IncludeUnavailable"
	buildFailed        = "BuildFailed"
	connected          = "Connected"
	safeMode           = "SafeMode"
	heldCondition      = "Held"
	frozenCondition    = "Frozen"
)

// Reasons of the hub's own for what it knows nothing more of.
const (
	reasonNotPlaced   = "NotPlaced"
	reasonNoClusters  = "NoClusters"
	reasonNotEnrolled = "NotEnrolled"
	reasonRemoving    = "Removing"
)

// standing is a condition and since when its status is that.
type standing struct {
	fleet.Condition
	since time.Time
}

// as is the same standing as another condition, which is True.
func (s standing) as(reason string) standing {
	s.Status, s.Reason = fleet.True, reason
	return s
}

func unknown(reason, message string) fleet.Condition {
	return fleet.Condition{Status: fleet.Unknown, Reason: reason, Message: message}
}

// conditions are those of one object, of whose spec a generation was observed.
type conditions struct {
	observed int64
	list     []condition
}

func (c *conditions) add(kind string, s standing) {
	if s.Reason == "" {
		s.Reason = fleet.ReasonProgressing
	}
	if s.Status == "" {
		s.Status = fleet.Unknown
	}
	c.list = append(c.list, condition{Type: kind, Status: s.Status, Reason: s.Reason, Message: s.Message,
		ObservedGeneration: max(c.observed, 0), LastTransitionTime: s.since.UTC()})
}

// addReady adds Ready, and Reconciling while it is Unknown, but for what goes to no cluster.
func (c *conditions) addReady(s standing) {
	c.add(ready, s)
	if s.Status == fleet.Unknown && s.Reason != reasonNotPlaced && s.Reason != reasonNoClusters {
		c.add(reconciling, s.as(s.Reason))
	}
}

// latest and earliest leave out what is zero.
func latest(times ...time.Time) (last time.Time) {
	for _, t := range times {
		if t.After(last) {
			last = t
		}
	}
	return last
}

func earliest(times ...time.Time) (first time.Time) {
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

// maxNames bounds the clusters that a message names.
const maxNames = 10

// listed is "a, b, c", or the first of them and how many more there are.
func listed(names []string) string {
	if more := len(names) - maxNames; more > 0 {
		return strings.Join(names[:maxNames], ", ") + " and " + itoa(more) + " more"
	}
	return strings.Join(names, ", ")
}

// plural is "1 cluster" or "3 clusters".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return itoa(n) + " " + noun + "s"
}
