package fleet

import (
	"encoding/json"
	"time"
)

// Stage is how far a spoke is with an Assignment.
type Stage string

// The stages, in the order an Assignment goes through them.
const (
	StageReceived  Stage = "Received"
	StageApplying  Stage = "Applying"
	StageVerifying Stage = "Verifying"
	StageSettled   Stage = "Settled"
	StageFailed    Stage = "Failed"
	StageSuspended Stage = "Suspended"
	StageRemoving  Stage = "Removing"
	StageRemoved   Stage = "Removed"
)

// Waiting is what a spoke waits for, with its clocks stopped.
type Waiting string

// What can be waited for.
const (
	WaitingNone       Waiting = "None"
	WaitingDependency Waiting = "Dependency"
	WaitingPruneHeld  Waiting = "PruneHeld"
	WaitingHold       Waiting = "Hold"
)

// ConditionStatus is the status of a condition, as Kubernetes has it.
type ConditionStatus string

// The statuses of a condition.
const (
	True    ConditionStatus = "True"
	False   ConditionStatus = "False"
	Unknown ConditionStatus = "Unknown"
)

// Condition is one condition of an App in one cluster.
type Condition struct {
	Status  ConditionStatus `json:"status"`
	Reason  string          `json:"reason,omitempty"`
	Message string          `json:"message,omitempty"`
}

// Reasons of the Ready condition, as Flux has them, and Flotilla's own.
const (
	ReasonSucceeded         = "ReconciliationSucceeded"
	ReasonFailed            = "ReconciliationFailed"
	ReasonProgressing       = "Progressing"
	ReasonArtifactFailed    = "ArtifactFailed"
	ReasonBuildFailed       = "BuildFailed"
	ReasonBuildDiffered     = "BuildDiffered"
	ReasonAccessDenied      = "AccessDenied"
	ReasonHealthCheckFailed = "HealthCheckFailed"
	ReasonPruneFailed       = "PruneFailed"
	ReasonDependency        = "DependencyNotReady"
	ReasonInvalidExpression = "InvalidCELExpression"
	ReasonSuspended         = "Suspended"
	ReasonManagedByFlux     = "ManagedByFlux"
	ReasonPruneHeld         = "PruneHeld"
	ReasonHeld              = "Held"
	ReasonUnreachable       = "ClusterUnreachable"
)

// ObjectStatus is one object that is not as it should be, and why.
type ObjectStatus struct {
	Object ObjectRef `json:"object"`
	// Status is kstatus' word (InProgress, Failed, Terminating, NotFound) or Conflict.
	Status  string `json:"status"`
	Message string `json:"message,omitempty"`
}

// HeldPrune is a set of deletions that the prune guard holds.
type HeldPrune struct {
	// Digest names the set; an approval is bound to it.
	Digest Digest `json:"digest"`
	Count  int    `json:"count"`
	// Reason says which rule of the guard holds it.
	Reason string `json:"reason"`
}

// MaxNotReady bounds the objects listed in a Report.
const MaxNotReady = 5

// MaxDetail bounds Report.Detail.
const MaxDetail = 64 << 10

// Report is what a spoke says of one Assignment at one generation. The latest wins.
type Report struct {
	App        Key
	Epoch      uint64
	Generation uint64
	// Release is the one attempted; Applied the last one whose objects were all applied.
	Release Digest
	Applied Digest
	Stage   Stage
	// Converged: everything applied and healthy at this generation. Available: serving acceptably. Terminal: no
	// retry can help until something changes.
	Converged bool
	Available bool
	Terminal  bool
	Waiting   Waiting
	Ready     Condition
	Healthy   Condition
	// Objects the App has, how many are not ready, and at most MaxNotReady of those.
	Objects         int
	ObjectsNotReady int
	NotReady        []ObjectStatus
	HeldPrune       *HeldPrune
	// HandledReconcileAt is the RequestedAt of the last request that a pass has served.
	HandledReconcileAt string
	ObservedAt         time.Time
	// DriftCorrections counts writes that undid drift since the spoke started.
	DriftCorrections uint64
	// Detail is what there is to say beside that of an App of its kind, as JSON, at most MaxDetail bytes: of a HelmRelease a
	// HelmStatus. Empty: nothing.
	Detail json.RawMessage
	// DetailLost: there is one that was not understood, and the one before stands.
	DetailLost bool
}

// HasFailed reports whether what is applied has failed: an object is called failed, by kstatus or by an expression of the
// App's, or all of them were not healthy within the App's timeout. It is not said of a Release that is not applied: what
// keeps it from that is another matter, and how the objects are is the Release's before.
func (r Report) HasFailed() bool {
	switch {
	case r.Release.IsZero(), r.Applied != r.Release:
		return false
	case r.Healthy.Status == False:
		return true
	}
	// A pass that failed since has a Ready condition of its own.
	late := r.Ready.Status == True || r.Ready.Reason == ReasonHealthCheckFailed
	return r.Stage == StageFailed && r.Healthy.Status != True && late
}

// Event is something worth telling a person.
type Event struct {
	// Number grows with every event of a spoke and is never reused.
	Number  uint64
	App     Key
	Object  ObjectRef
	Warning bool
	Reason  string
	Message string
	At      time.Time
}
