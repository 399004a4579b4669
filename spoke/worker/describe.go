package worker

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

// Status is what the engine knows of an App.
type Status struct {
	Objects         int
	ObjectsNotReady int
	// NotReady are at most fleet.MaxNotReady of those.
	NotReady []fleet.ObjectStatus
	Healthy  fleet.Condition
	// Failed says that waiting for health does not help.
	Failed bool
	// Checks is Healthy of the objects alone that spec.healthChecks names; zero: Ready does not wait for them.
	Checks    fleet.Condition
	HeldPrune *fleet.HeldPrune
	// Applied is the release whose objects were all applied last, Bound the binding.
	Applied, Bound fleet.Digest
	// Wakes counts the changes of what the App refers to that call for a pass.
	Wakes            uint64
	DriftCorrections uint64
	// ManagedByFlux says that a Flux in the cluster manages the App, unsuspended: passes are refused.
	ManagedByFlux bool
	// Ready says in the words of the App's kind what it is like when all is well (True), or what is being done (Unknown).
	// Zero: there are none. An engine that has some tells people of what is well itself.
	Ready fleet.Condition
	// Detail is the Report's.
	Detail json.RawMessage
}

// runDigest names what was applied last.
func (s Status) runDigest() fleet.Digest { return fleet.RunDigest(s.Applied, s.Bound) }

// doing is what is being done; empty: the engine does not say.
func (s Status) doing() string {
	if s.Ready.Status == fleet.Unknown {
		return s.Ready.Message
	}
	return ""
}

// view is all that a report is made of.
type view struct {
	want   Assigned
	status Status
	progress
	// unreadable is the newest Assignment, when it is not understood; want is then the one before.
	unreadable *Assigned
	// applying says that a pass is past fetching.
	applying bool
	// settled says that what Ready waits for was seen healthy before, whatever it is now.
	settled bool
	// unhealthySince is when the App became not healthy, or its release was applied, whichever was later; awaitedSince is
	// that of what Ready waits for.
	unhealthySince, awaitedSince time.Time
	// hindrance keeps a pass that is due from beginning.
	hindrance *hindrance
	// held says why nothing is to begin; empty: nothing is held back.
	held string
	// ready is the Ready condition told last.
	ready fleet.Condition
	now   time.Time
}

// shownAfter is how many transient failures in a row are shown as a failure.
const shownAfter = 3

// describe says how an Assignment is doing. The report holds until next, if nothing else moves; zero: for ever.
func describe(v view) (report fleet.Report, next time.Time) {
	release := v.want.releaseDigest()
	report = fleet.Report{
		App:                v.want.App,
		Epoch:              v.want.Epoch,
		Generation:         v.want.Generation,
		Release:            release,
		Applied:            v.status.Applied,
		Available:          v.status.Healthy.Status == fleet.True,
		Waiting:            fleet.WaitingNone,
		Healthy:            v.status.Healthy,
		Objects:            v.status.Objects,
		ObjectsNotReady:    v.status.ObjectsNotReady,
		NotReady:           v.status.NotReady,
		HeldPrune:          v.status.HeldPrune,
		HandledReconcileAt: v.handled,
		ObservedAt:         v.now,
		DriftCorrections:   v.status.DriftCorrections,
		Detail:             v.status.Detail,
	}
	if report.HeldPrune != nil {
		report.Waiting = fleet.WaitingPruneHeld
	}
	switch {
	case v.unreadable != nil:
		report.App, report.Epoch, report.Generation = v.unreadable.App, v.unreadable.Epoch, v.unreadable.Generation
		report.Release = v.unreadable.Release.Digest()
		report.Stage, report.Terminal = fleet.StageFailed, true
		report.Ready = condition(fleet.False, fleet.ReasonFailed, "this spoke does not understand the Assignment; is it older than the hub? "+v.unreadable.Err.Error())
	case v.want.tombstone():
		describeRemoval(&report, v)
	case v.want.Suspend:
		describeSuspended(&report, v)
	default:
		next = describeActive(&report, v)
	}
	return report, next
}

// awaited is the health that Ready waits for: of all that is applied with wait, else of what spec.healthChecks names.
// Without either it is that of all, and does not count.
func awaited(want Assigned, status Status) fleet.Condition {
	if !want.Release.Wait && status.Checks.Status != "" {
		return status.Checks
	}
	return status.Healthy
}

func (v view) waits() bool { return v.want.Release.Wait || v.status.Checks.Status != "" }

// describeHindered is for an App whose pass waits for a dependency. Its clocks stand still.
func describeHindered(report *fleet.Report, v view) {
	report.Waiting, report.Stage = fleet.WaitingDependency, fleet.StageReceived
	inPlace := v.status.runDigest() == v.want.RunDigest()
	switch {
	case v.hindrance.terminal:
		report.Waiting, report.Stage, report.Terminal = fleet.WaitingNone, fleet.StageFailed, true
	case inPlace && v.status.Healthy.Status == fleet.True:
		report.Stage = fleet.StageSettled
	case inPlace:
		report.Stage = fleet.StageVerifying
	}
	report.Ready = condition(fleet.False, v.hindrance.reason, v.hindrance.message)
}

func describeActive(report *fleet.Report, v view) (next time.Time) {
	inPlace := v.status.runDigest() == v.want.RunDigest()
	if v.held != "" && !inPlace {
		describeHeld(report, v)
		return time.Time{}
	}
	if v.hindrance != nil {
		describeHindered(report, v)
		return time.Time{}
	}
	attempted := v.last != nil && v.last.step == pass && v.last.run == v.want.RunDigest()
	if attempted && v.last.failure != nil {
		failure := v.last.failure
		if !failure.Transient || v.last.failures >= shownAfter {
			// What a pass that was asked for comes to is not known before it is made.
			asked := v.want.RequestedAt != "" && v.want.RequestedAt != v.handled
			report.Stage, report.Terminal = fleet.StageFailed, failure.Terminal && !asked
			report.Ready = condition(fleet.False, failure.Reason, failure.Error())
			return time.Time{}
		}
		if !inPlace {
			report.Stage = fleet.StageApplying
			report.Ready = condition(fleet.Unknown, fleet.ReasonProgressing, "trying again: "+failure.Error())
			return time.Time{}
		}
	}
	if !attempted && !inPlace {
		report.Stage, report.Ready = fleet.StageReceived, condition(fleet.Unknown, fleet.ReasonProgressing, "Waiting to be applied")
		if v.applying {
			report.Stage, report.Ready = fleet.StageApplying, condition(fleet.Unknown, fleet.ReasonProgressing, cmp.Or(v.status.doing(), "Applying"))
		}
		return time.Time{}
	}
	return describeHealth(report, v)
}

// describeHealth is for an App whose objects are all applied.
func describeHealth(report *fleet.Report, v view) (next time.Time) {
	applied := condition(fleet.True, fleet.ReasonSucceeded, fmt.Sprintf("Applied release %s", short(report.Release)))
	if v.status.Ready.Status == fleet.True {
		applied = v.status.Ready
	}
	if v.held != "" {
		applied.Message += "; " + v.held + ": nothing new is applied"
	}
	if v.status.Healthy.Status == fleet.True {
		report.Stage, report.Ready = fleet.StageSettled, applied
		report.Converged = report.HeldPrune == nil && v.undisturbed()
		return time.Time{}
	}
	report.Stage, report.Ready = fleet.StageFailed, applied
	deadline := v.unhealthySince.Add(v.want.timeout())
	if !v.status.Failed && v.status.Healthy.Status != fleet.False && v.now.Before(deadline) {
		report.Stage, next = fleet.StageVerifying, deadline
	}
	if !v.waits() {
		return next
	}
	health := awaited(v.want, v.status)
	deadline = v.awaitedSince.Add(v.want.timeout())
	switch {
	case health.Status == fleet.True:
		return next
	case health.Status == fleet.False:
		report.Ready = condition(fleet.False, fleet.ReasonHealthCheckFailed, health.Message)
		return next
	case !v.now.Before(deadline):
		report.Ready = condition(fleet.False, fleet.ReasonHealthCheckFailed, fmt.Sprintf("not healthy within %s: %s", v.want.timeout(), health.Message))
		return next
	case !v.settled:
		report.Ready = condition(fleet.Unknown, fleet.ReasonProgressing, "Waiting for health: "+health.Message)
	}
	if next.IsZero() || deadline.Before(next) {
		next = deadline
	}
	return next
}

// undisturbed reports whether nothing but health says how the App is. After a start, what became of the last pass is known of
// a HelmRelease alone, whose engine keeps it.
func (v view) undisturbed() bool {
	if v.last == nil {
		return v.want.App.Kind != flux.HelmReleaseKind || v.status.Ready.Status == fleet.True
	}
	return v.last.failure == nil
}

// describeSuspended keeps the Ready condition as it was.
func describeSuspended(report *fleet.Report, v view) {
	report.Ready = condition(fleet.Unknown, fleet.ReasonSuspended, "suspended before it was applied")
	if v.status.runDigest() == v.want.RunDigest() {
		describeHealth(report, v)
	}
	if v.ready.Status != "" {
		report.Ready = v.ready
	}
	report.Stage = fleet.StageSuspended
}

func describeRemoval(report *fleet.Report, v view) {
	report.Stage = fleet.StageRemoving
	report.Ready = condition(fleet.Unknown, fleet.ReasonProgressing, "Being removed")
	if v.removed == v.want.generation() {
		report.Stage, report.HeldPrune, report.Waiting = fleet.StageRemoved, nil, fleet.WaitingNone
		report.Ready = condition(fleet.Unknown, fleet.ReasonProgressing, "Removed")
		return
	}
	if v.held != "" {
		report.Waiting = fleet.WaitingHold
		report.Ready = condition(fleet.False, fleet.ReasonHeld, v.held+"; its objects are deleted once the annotation is taken away")
		return
	}
	last := v.last
	if last == nil || last.step != remove || last.generation != v.want.generation() || last.failure == nil {
		return
	}
	if !last.failure.Transient || last.failures >= shownAfter {
		report.Ready = condition(fleet.False, cmp.Or(last.failure.Reason, fleet.ReasonPruneFailed), last.failure.Error())
	}
}

func condition(status fleet.ConditionStatus, reason, message string) fleet.Condition {
	return fleet.Condition{Status: status, Reason: reason, Message: message}
}

// short is the form of a digest that a person reads.
func short(digest fleet.Digest) string {
	text := digest.String()
	return text[:min(len(text), len("sha256:")+12)]
}

// eventOf is what a change of the Ready condition is worth telling: a failure, its new reason, and its end.
func eventOf(before, after fleet.Report) (fleet.Event, bool) {
	event := fleet.Event{App: after.App, Reason: after.Ready.Reason, Message: after.Ready.Message, At: after.ObservedAt}
	switch {
	case after.Ready == before.Ready:
		return event, false
	case after.Ready.Status == fleet.False:
		event.Warning = after.Ready.Reason != fleet.ReasonDependency && after.Ready.Reason != fleet.ReasonHeld // which are meant
		return event, true
	}
	return event, after.Ready.Status == fleet.True && before.Ready.Status == fleet.False
}
