package fleet

import (
	"cmp"
	"time"
)

// RolloutPolicy is the spec of the fleet kind of that name: how a new Release of an App goes through the clusters of its
// Placement. A Rollout works by the policy as it was when it began.
type RolloutPolicy struct {
	// Waves of clusters, in order; a cluster is in the first that takes it.
	Waves []Wave `json:"waves"`
	// MaxUnavailable bounds, over the whole Rollout, the clusters that do not serve because of it; default 10%.
	MaxUnavailable *Amount `json:"maxUnavailable,omitempty"`
	// Cluster says when one cluster is there, and when it has failed.
	Cluster MemberPolicy `json:"cluster,omitzero"`
	// Unmatched says what becomes of clusters that no wave takes: Last (default), Exclude or Reject.
	Unmatched Unmatched `json:"unmatched,omitempty"`
	// OnNewRevision says what a new Release does while another is rolled out: Queue (default) or Supersede.
	OnNewRevision OnNewRevision `json:"onNewRevision,omitempty"`
	// OnFailure says what happens when a budget is used up or a gate says no.
	OnFailure OnFailure `json:"onFailure,omitzero"`
	// OnInconclusive says what happens when an analysis cannot tell: Pause (default) or Halt.
	OnInconclusive OnInconclusive `json:"onInconclusive,omitempty"`
	// Windows are the times in which clusters are updated; none: always. What was begun goes on outside of them, as do
	// gates and rollbacks.
	Windows []Window `json:"windows,omitempty"`
	// AutoStart begins a Rollout with each new Release; default true. Otherwise it is queued until somebody starts it.
	AutoStart *bool `json:"autoStart,omitempty"`
	// CatchUp paces what clusters get outside of Rollouts.
	CatchUp CatchUp `json:"catchUp,omitzero"`
}

// Wave is a part of the clusters, updated together.
type Wave struct {
	Name string `json:"name"`
	// Select takes clusters by their labels; absent: every cluster that no wave before has taken.
	Select *Selector `json:"select,omitempty"`
	// Limit takes only the first so many, by Order, of those that Select matches; the others are for the waves after it.
	Limit *Amount   `json:"limit,omitempty"`
	Order WaveOrder `json:"order,omitzero"`
	// Required stops the Rollout when the wave has no cluster; otherwise it is passed over.
	Required bool `json:"required,omitempty"`
	// MaxConcurrent bounds the clusters that are updated at the same time; default 1.
	MaxConcurrent *Amount `json:"maxConcurrent,omitempty"`
	// MaxFailures is how many clusters may fail before the Rollout stops; default 0.
	MaxFailures *Amount `json:"maxFailures,omitempty"`
	// MinUpdated is how many clusters have to be decided before the wave is left: succeeded, or failed within MaxFailures.
	// Default 50%, and 100% of a wave with a Limit.
	MinUpdated *Amount `json:"minUpdated,omitempty"`
	// CoverageTimeout is how long MinUpdated is waited for before the Rollout is paused; default 24h.
	CoverageTimeout *Duration `json:"coverageTimeout,omitempty"`
	// Before are gates that have to pass before the first cluster is updated, After those that have to pass before the
	// next wave, one after the other.
	Before []Gate `json:"before,omitempty"`
	After  []Gate `json:"after,omitempty"`
}

// WaveOrder is that of clusters in a wave.
type WaveOrder struct {
	// By is Name (default), Label or Shuffle.
	By OrderBy `json:"by,omitempty"`
	// Key of the label, for Label: whole numbers, lowest first; clusters without one come last, by name.
	Key string `json:"key,omitempty"`
}

// OrderBy says by what clusters are ordered.
type OrderBy string

// The orders. A Shuffle is the same for the same Release.
const (
	ByName    OrderBy = "Name"
	ByLabel   OrderBy = "Label"
	ByShuffle OrderBy = "Shuffle"
)

// MemberPolicy says when one cluster of a Rollout is there, and when it has failed.
type MemberPolicy struct {
	// ProgressDeadline is how long a cluster may take; default 10m. The clock stands still while it is not connected, held,
	// waits for a dependency or has a prune held.
	ProgressDeadline *Duration `json:"progressDeadline,omitempty"`
	// MinReady is how long a cluster has to be converged before it counts; default 0.
	MinReady *Duration `json:"minReady,omitempty"`
	// Retries are further tries after an error that no retry of the spoke's helps; default 0.
	Retries int `json:"retries,omitempty"`
	// RegressionWindow is how long a cluster that has succeeded may be unavailable before it has failed; default 2m.
	RegressionWindow *Duration `json:"regressionWindow,omitempty"`
	// UnreachableTimeout is how long a cluster may be out of reach after it was updated; default 10m.
	UnreachableTimeout *Duration `json:"unreachableTimeout,omitempty"`
	// OnLost says what becomes of it then: Fail (default) or Defer.
	OnLost OnLost `json:"onLost,omitempty"`
	// PreexistingUnhealthy says what becomes of a cluster that is not available when its turn comes: Defer (default), Update
	// or Block.
	PreexistingUnhealthy PreexistingUnhealthy `json:"preexistingUnhealthy,omitempty"`
}

// OnFailure says what happens when a Rollout fails.
type OnFailure struct {
	// Action is Halt (default) or Rollback.
	Action FailureAction `json:"action,omitempty"`
	// Scope of a Rollback: Failed clusters, the Wave under way and later ones, or all that were Updated (default).
	Scope FailureScope `json:"scope,omitempty"`
	// MaxConcurrent bounds the clusters that go back at the same time; default 100%.
	MaxConcurrent *Amount `json:"maxConcurrent,omitempty"`
	// AllowUninstall lets a Rollback remove the App from clusters that did not have it before.
	AllowUninstall bool `json:"allowUninstall,omitempty"`
}

// CatchUp paces what clusters get outside of a Rollout: the Stable Release where they were away or are new, and what
// changes for single clusters, such as variables.
type CatchUp struct {
	// MaxConcurrent of the App's clusters; default 10%.
	MaxConcurrent *Amount `json:"maxConcurrent,omitempty"`
}

// Window is a time in which clusters are updated.
type Window struct {
	// Cron says when it opens, in five fields: minute, hour, day of the month, month, day of the week.
	Cron string `json:"cron"`
	// TimeZone is a name of the IANA database; default UTC.
	TimeZone string `json:"timeZone,omitempty"`
	// Duration for which it is open.
	Duration *Duration `json:"duration"`
}

// Unmatched says what becomes of clusters that no wave takes.
type Unmatched string

// The values of Unmatched.
const (
	UnmatchedLast    Unmatched = "Last"
	UnmatchedExclude Unmatched = "Exclude"
	UnmatchedReject  Unmatched = "Reject"
)

// OnNewRevision says what a new Release does while another is rolled out.
type OnNewRevision string

// The values of OnNewRevision.
const (
	QueueNew     OnNewRevision = "Queue"
	SupersedeOld OnNewRevision = "Supersede"
)

// FailureAction is what follows a failure.
type FailureAction string

// The values of FailureAction.
const (
	HaltOnFailure     FailureAction = "Halt"
	RollbackOnFailure FailureAction = "Rollback"
)

// FailureScope says which clusters go back.
type FailureScope string

// The values of FailureScope.
const (
	ScopeFailed  FailureScope = "Failed"
	ScopeWave    FailureScope = "Wave"
	ScopeUpdated FailureScope = "Updated"
)

// OnInconclusive is what follows an analysis that cannot tell.
type OnInconclusive string

// The values of OnInconclusive.
const (
	InconclusivePause OnInconclusive = "Pause"
	InconclusiveHalt  OnInconclusive = "Halt"
)

// OnLost is what becomes of a cluster that is out of reach.
type OnLost string

// The values of OnLost.
const (
	LostFail  OnLost = "Fail"
	LostDefer OnLost = "Defer"
)

// PreexistingUnhealthy is what becomes of a cluster that is not available when its turn comes.
type PreexistingUnhealthy string

// The values of PreexistingUnhealthy.
const (
	UnhealthyDefer  PreexistingUnhealthy = "Defer"
	UnhealthyUpdate PreexistingUnhealthy = "Update"
	UnhealthyBlock  PreexistingUnhealthy = "Block"
)

// LastWave is the name of the wave of clusters that no other takes.
const LastWave = "_rest"

// WithDefaults returns the policy with all that it leaves open filled in.
func (p RolloutPolicy) WithDefaults() RolloutPolicy {
	waves := make([]Wave, len(p.Waves))
	for i, w := range p.Waves {
		waves[i] = w.withDefaults()
	}
	p.Waves = waves
	p.MaxUnavailable = cmp.Or(p.MaxUnavailable, Percent(10))
	p.Cluster = p.Cluster.withDefaults()
	p.Unmatched = cmp.Or(p.Unmatched, UnmatchedLast)
	p.OnNewRevision = cmp.Or(p.OnNewRevision, QueueNew)
	p.OnFailure.Action = cmp.Or(p.OnFailure.Action, HaltOnFailure)
	p.OnFailure.Scope = cmp.Or(p.OnFailure.Scope, ScopeUpdated)
	p.OnFailure.MaxConcurrent = cmp.Or(p.OnFailure.MaxConcurrent, Percent(100))
	p.OnInconclusive = cmp.Or(p.OnInconclusive, InconclusivePause)
	p.AutoStart = cmp.Or(p.AutoStart, new(true))
	p.CatchUp.MaxConcurrent = cmp.Or(p.CatchUp.MaxConcurrent, Percent(10))
	return p
}

func (w Wave) withDefaults() Wave {
	w.Order.By = cmp.Or(w.Order.By, ByName)
	w.MaxConcurrent = cmp.Or(w.MaxConcurrent, Clusters(1))
	w.MaxFailures = cmp.Or(w.MaxFailures, Clusters(0))
	if w.MinUpdated == nil {
		w.MinUpdated = Percent(50)
		if w.Limit != nil {
			w.MinUpdated = Percent(100)
		}
	}
	w.CoverageTimeout = cmp.Or(w.CoverageTimeout, Lasting(24*time.Hour))
	w.Before, w.After = gatesWithDefaults(w.Before), gatesWithDefaults(w.After)
	return w
}

// RestWave is the wave of clusters that no other takes.
func (p RolloutPolicy) RestWave() Wave { return Wave{Name: LastWave}.withDefaults() }

func (m MemberPolicy) withDefaults() MemberPolicy {
	m.ProgressDeadline = cmp.Or(m.ProgressDeadline, Lasting(10*time.Minute))
	m.MinReady = cmp.Or(m.MinReady, Lasting(0))
	m.RegressionWindow = cmp.Or(m.RegressionWindow, Lasting(2*time.Minute))
	m.UnreachableTimeout = cmp.Or(m.UnreachableTimeout, Lasting(10*time.Minute))
	m.OnLost = cmp.Or(m.OnLost, LostFail)
	m.PreexistingUnhealthy = cmp.Or(m.PreexistingUnhealthy, UnhealthyDefer)
	return m
}
