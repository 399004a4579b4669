package rollout

import (
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Rollout is one attempt to move the clusters of an App from what they run to one Release.
type Rollout struct {
	ID   string
	Kind Kind
	// Target names the Release that they are to run.
	Target  fleet.Digest
	Release fleet.Release
	Phase   Phase
	// Reason and Message say why the phase is what it is, or what a running Rollout waits for.
	Reason  Reason
	Message string
	// Policy as it was when the Rollout began, defaults filled in. Plan names policy, target and members together.
	Policy fleet.RolloutPolicy
	Plan   fleet.Digest
	// Actor began it: "system", or who asked. ChangeCause is why, in that person's words: no Reason, which is the phase's.
	Actor       string
	ChangeCause string
	// RequestID of the request that began it: the same request begins no other.
	RequestID string
	// Wave is the index of the wave under way; len(Waves) after the last.
	Wave  int
	Waves []Wave
	// MaxUnavailable clusters, worked out of the policy when the Rollout began.
	MaxUnavailable int
	// Members in order of wave and turn.
	Members []Member
	// Scope of a rollback.
	Scope fleet.FailureScope
	// CausedBy names the Rollout that this one took the place of, SupersededBy the one that took its place.
	CausedBy     string
	SupersededBy string
	// NoRollback: the App says that this Release cannot be taken back.
	NoRollback bool
	// AllowBad: somebody wants it although its Release has failed before.
	AllowBad bool
	// Version grows with every step that changes it.
	Version                    uint64
	Created, Started, Finished time.Time
}

// Kind is the direction of a Rollout.
type Kind string

// The kinds. A Backward one goes to what was good before: one wave, without gates.
const (
	Forward  Kind = "Forward"
	Backward Kind = "Backward"
)

// Phase is where a Rollout is.
type Phase string

// The phases. From Succeeded on they are final.
const (
	Queued         Phase = "Queued"
	Running        Phase = "Running"
	Paused         Phase = "Paused"
	Halted         Phase = "Halted"
	RollingBack    Phase = "RollingBack"
	Succeeded      Phase = "Succeeded"
	RolledBack     Phase = "RolledBack"
	RollbackFailed Phase = "RollbackFailed"
	Cancelled      Phase = "Cancelled"
	Superseded     Phase = "Superseded"
)

// Final reports whether the phase is the last one.
func (p Phase) Final() bool {
	switch p {
	case Succeeded, RolledBack, RollbackFailed, Cancelled, Superseded:
		return true
	}
	return false
}

// Active reports whether a Rollout in this phase is the App's one under way.
func (p Phase) Active() bool { return p != Queued && !p.Final() }

// Reason says why a Rollout is where it is.
type Reason string

// The reasons.
const (
	ReasonUser               Reason = "User"
	ReasonFailureBudget      Reason = "FailureBudget"
	ReasonAvailabilityBudget Reason = "AvailabilityBudget"
	ReasonGateFailed         Reason = "GateFailed"
	ReasonInconclusiveGate   Reason = "InconclusiveGate"
	ReasonApprovalRejected   Reason = "ApprovalRejected"
	ReasonApprovalTimeout    Reason = "ApprovalTimeout"
	ReasonCoverage           Reason = "InsufficientCoverage"
	ReasonEmptyWave          Reason = "EmptyRequiredWave"
	ReasonWindowClosed       Reason = "WindowClosed"
	ReasonNoWindowOpens      Reason = "NoWindowOpens"
	ReasonFrozen             Reason = "Frozen"
	ReasonSuspended          Reason = "Suspended"
	ReasonWaitingGate        Reason = "WaitingGate"
	ReasonWaitingClusters    Reason = "WaitingClusters"
	ReasonNewerCandidate     Reason = "NewerCandidate"
	ReasonAwaitingStart      Reason = "AwaitingStart"
	ReasonUnmatched          Reason = "UnmatchedClusters"
)

// Wave is a part of a Rollout, as it is.
type Wave struct {
	Name  string    `json:"name"`
	Phase WavePhase `json:"phase"`
	// Size is how many members it had when the Rollout began; the budgets are worked out of it.
	Size          int `json:"size"`
	MaxConcurrent int `json:"maxConcurrent"`
	MaxFailures   int `json:"maxFailures"`
	MinUpdated    int `json:"minUpdated"`
	// Totals of its members, as they were at the last step.
	Totals Totals `json:"totals,omitzero"`
	// Coverage counts how long its clusters are settled without being enough; Accepted: somebody takes it as it is.
	Coverage Clock `json:"coverage,omitzero"`
	Accepted bool  `json:"accepted,omitempty"`
	// Blocked counts how long clusters of it could be updated, none is, and none may be.
	Blocked Clock `json:"blocked,omitzero"`
	// Before and After are its gates.
	Before []Gate `json:"before,omitempty"`
	After  []Gate `json:"after,omitempty"`
	// Entered is when it was begun.
	Entered time.Time `json:"entered,omitzero"`
}

// WavePhase is where a Wave is.
type WavePhase string

// The phases of a wave, in order. One without members is Skipped.
const (
	WavePending  WavePhase = "Pending"
	WaveBefore   WavePhase = "Before"
	WaveUpdating WavePhase = "Updating"
	WaveAfter    WavePhase = "After"
	WaveDone     WavePhase = "Done"
	WaveSkipped  WavePhase = "Skipped"
)

func (p WavePhase) over() bool { return p == WaveDone || p == WaveSkipped }

// Clock counts time, and stands still at times.
type Clock struct {
	Spent time.Duration `json:"spent,omitempty"`
	// Since it runs; zero: it stands.
	Since time.Time `json:"since,omitzero"`
}

// Elapsed is what it has counted.
func (c Clock) Elapsed(now time.Time) time.Duration {
	if c.Since.IsZero() {
		return c.Spent
	}
	return c.Spent + max(0, now.Sub(c.Since))
}

// run starts or stops it.
func (c *Clock) run(now time.Time, runs bool) {
	switch {
	case runs && c.Since.IsZero():
		c.Since = now
	case !runs && !c.Since.IsZero():
		c.Spent, c.Since = c.Elapsed(now), time.Time{}
	}
}

// reaches is when it will have counted d; zero: it stands.
func (c Clock) reaches(d time.Duration) time.Time {
	if c.Since.IsZero() {
		return time.Time{}
	}
	return c.Since.Add(d - c.Spent)
}
