package helm

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/helm/job"
)

// Reasons of conditions and events, as Flux has them.
const (
	reasonNoHelm    = "HelmUnavailable" // Flux has Helm within itself
	reasonPending   = "PendingRelease"
	reasonAwaiting  = "AwaitingTests"
	reasonExceeded  = "RetriesExceeded"
	reasonNoTarget  = "MissingRollbackTarget"
	reasonTakenOver = "TakenOver"
	reasonOrphaned  = "Orphaned"
)

var succeeded = map[job.Action]string{
	job.Install: "InstallSucceeded", job.Upgrade: "UpgradeSucceeded", job.Test: "TestSucceeded",
	job.Rollback: "RollbackSucceeded", job.Uninstall: "UninstallSucceeded", job.Unlock: reasonPending,
}

// begun is the status of a release whose action is about to begin.
func begun(s fleet.HelmStatus, n step) fleet.HelmStatus {
	s.Stalled = fleet.Condition{}
	if sorts[n.action] != releasing {
		return s
	}
	s.LastAttemptedReleaseAction = string(n.action)
	// What was found of the release before says nothing of the one that comes.
	s.TestSuccess, s.Remediated = fleet.Condition{}, fleet.Condition{}
	if n.forget {
		s.History = nil
	}
	return s
}

// outcome is what came of an action.
type outcome struct {
	step
	answer job.Answer
	// before is the newest version that was stored before the action, was all that were.
	before int
	was    []fleet.HelmSnapshot
	// about is the version that the step is about, where the answer has none: what was rolled back to, or is gone.
	about fleet.HelmSnapshot
	spec  flux.HelmReleaseSpec
	// wanted is the chart of an install or upgrade.
	wanted job.Prepared
	names  names
	now    time.Time
}

// ended is the status of a release after an action, and what people are told of it.
func ended(s fleet.HelmStatus, o outcome) (fleet.HelmStatus, fleet.Event) {
	s.History = strange(s.History, o.was, absorb(s.History, o.answer.History, o.before, string(o.action)))
	failure := o.answer.Failure
	reason, message := succeeded[o.action], ""
	switch {
	case failure != nil:
		reason, message = o.action.Failed(), cut(o.failed(s))
		s.Failures++
	default:
		message = o.went(s)
	}
	found := fleet.Condition{Status: fleet.True, Reason: reason, Message: message}
	if failure != nil {
		found.Status = fleet.False
	}
	switch o.action {
	case job.Install, job.Upgrade:
		s = o.released(s, found)
	case job.Test:
		s.TestSuccess = found
		if failure != nil {
			s = failedTest(s, o.spec)
		}
	case job.Rollback:
		s.Remediated = found
	case job.Uninstall:
		if failure == nil {
			s.History = uninstalled(s.History, o.answer.History, o.now)
		}
		if o.retire {
			found.Status = fleet.False // as in Flux, the release is not there either way
			s.Released = found
		} else {
			s.Remediated = found
		}
	case job.Unlock:
		found.Status = fleet.False
		s.Released = found
	}
	return s, fleet.Event{Warning: failure != nil, Reason: reason, Message: message, At: o.now}
}

// failedTest counts a failed test against the retries of what it was a test of.
func failedTest(s fleet.HelmStatus, spec flux.HelmReleaseSpec) fleet.HelmStatus {
	if r := remedyOf(job.Action(s.LastAttemptedReleaseAction), spec, s); hasTests(s) && r != nil && !r.ignoreTests {
		s = counted(s, r.after)
	}
	return s
}

// released takes note of an install or upgrade.
func (o outcome) released(s fleet.HelmStatus, found fleet.Condition) fleet.HelmStatus {
	s.Released = found
	s.LastAttemptedReleaseDuration = "" // not known of one that was over before a restart
	if took := o.answer.Took; took > 0 {
		s.LastAttemptedReleaseDuration = took.Round(time.Millisecond).String()
	}
	if failure := o.answer.Failure; failure != nil {
		if failure.Began { // what was not stored needs no remedy
			s = counted(s, o.action)
		}
		return s
	}
	s.ObservedPostRenderersDigest, s.ObservedCommonMetadataDigest = o.wanted.PostRenderersDigest, o.wanted.CommonMetadataDigest
	if retriesOf(o.action, o.spec) {
		s = forgiven(s)
	}
	if o.spec.Test != nil && o.spec.Test.Enable && len(s.History) > 0 {
		s.TestSuccess = fleet.Condition{Status: fleet.Unknown, Reason: reasonAwaiting, Message: fmt.Sprintf(
			"Helm release %s with chart %s is to be tested", releaseOf(s.History[0]), chartOf(s.History[0]))}
	}
	return s
}

// went says of an action that it succeeded.
func (o outcome) went(s fleet.HelmStatus) string {
	about := o.about
	if sorts[o.action] != remediating && len(s.History) > 0 {
		about = s.History[0]
	}
	switch o.action {
	case job.Test:
		tests := "there are no tests"
		if n := len(about.TestHooks); n > 0 {
			tests = fmt.Sprintf("%d of its tests completed", n)
		}
		return fmt.Sprintf("Helm test succeeded for release %s with chart %s: %s", releaseOf(about), chartOf(about), tests)
	case job.Rollback:
		return fmt.Sprintf("Helm rollback to previous release %s with chart %s succeeded", releaseOf(about), chartOf(about))
	case job.Unlock:
		return fmt.Sprintf("Unlocked Helm release %s with chart %s, which an action that was interrupted had left %s",
			releaseOf(o.about), chartOf(o.about), o.about.Status)
	}
	return fmt.Sprintf("Helm %s succeeded for release %s with chart %s", o.action, releaseOf(about), chartOf(about))
}

// failed says of an action why it failed.
func (o outcome) failed(s fleet.HelmStatus) string {
	why := o.answer.Failure.Message
	switch o.action {
	case job.Install, job.Upgrade:
		return fmt.Sprintf("Helm %s failed for release %s/%s with chart %s@%s: %s",
			o.action, o.names.Namespace, o.names.Release, o.wanted.ChartName, o.wanted.ChartVersion, why)
	case job.Rollback:
		return fmt.Sprintf("Helm rollback to previous release %s with chart %s failed: %s", releaseOf(o.about), chartOf(o.about), why)
	}
	about := o.about
	if o.action == job.Test && len(s.History) > 0 {
		about = s.History[0]
	}
	return fmt.Sprintf("Helm %s failed for release %s with chart %s: %s", o.action, releaseOf(about), chartOf(about), why)
}

func hasTests(s fleet.HelmStatus) bool { return len(s.History) > 0 && isTested(s.History[0]) }

// counted counts a failure against the retries of an action.
func counted(s fleet.HelmStatus, of job.Action) fleet.HelmStatus {
	if of == job.Install {
		s.InstallFailures++
	} else {
		s.UpgradeFailures++
	}
	return s
}

// forgiven forgets failures.
func forgiven(s fleet.HelmStatus) fleet.HelmStatus {
	s.Failures, s.InstallFailures, s.UpgradeFailures = 0, 0, 0
	return s
}

// absorb brings the recorded history up to what is stored after an action of ours. Versions that the action made join it;
// what others had made before is theirs. A version that is not stored any more stays recorded, so that it is missed. Nothing
// from before an install is ever rolled back to.
func absorb(history, stored []fleet.HelmSnapshot, before int, action string) []fleet.HelmSnapshot {
	if action == string(job.Install) && newest(stored) > before {
		history = nil
	}
	recorded := map[int]fleet.HelmSnapshot{}
	for _, s := range history {
		recorded[s.Version] = s
	}
	for _, s := range stored {
		known, is := recorded[s.Version]
		switch {
		case is:
			s.Action = known.Action
			s.OCIDigest = cmp.Or(s.OCIDigest, known.OCIDigest)
			if s.TestHooks == nil || action != string(job.Test) {
				s.TestHooks = known.TestHooks
			}
			recorded[s.Version] = s
		case s.Version > before:
			s.Action = action
			s.TestHooks = nil
			recorded[s.Version] = s
		}
	}
	return slices.SortedFunc(maps.Values(recorded), newestFirst)
}

// strange leaves versions as they were recorded that somebody else had changed before the action: they do not become ours by it.
func strange(recorded, was, absorbed []fleet.HelmSnapshot) []fleet.HelmSnapshot {
	stored := map[int]fleet.HelmSnapshot{}
	for _, s := range was {
		stored[s.Version] = s
	}
	for _, s := range recorded {
		at := slices.IndexFunc(absorbed, func(a fleet.HelmSnapshot) bool { return a.Version == s.Version })
		if before, is := stored[s.Version]; is && at >= 0 && !owns(s, before) {
			absorbed[at] = s
		}
	}
	return absorbed
}

// uninstalled is the history of a release that is not there any more.
func uninstalled(history, stored []fleet.HelmSnapshot, now time.Time) []fleet.HelmSnapshot {
	if len(stored) > 0 || len(history) == 0 {
		return history
	}
	history = slices.Clone(history)
	history[0].Status, history[0].Deleted = statusUninstalled, cmpTime(history[0].Deleted, now)
	return history
}

func cmpTime(t, or time.Time) time.Time {
	if t.IsZero() {
		return or
	}
	return t
}

func newestFirst(a, b fleet.HelmSnapshot) int { return b.Version - a.Version }
