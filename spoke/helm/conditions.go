package helm

import (
	"fmt"
	"slices"
	"strings"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/helm/job"
)

// ready is the Ready condition that the others come to: the first of Remediated, TestSuccess and Released that stands. What
// was remediated is not ready.
func ready(s fleet.HelmStatus, spec flux.HelmReleaseSpec) fleet.Condition {
	tests := spec.Test != nil && spec.Test.Enable && !spec.Test.IgnoreFailures
	switch {
	case s.Remediated.Status != "":
		return fleet.Condition{Status: fleet.False, Reason: s.Remediated.Reason, Message: s.Remediated.Message}
	case tests && s.TestSuccess.Status != "":
		return s.TestSuccess
	}
	return s.Released
}

// agreed is the status of a release that is as it should be, without one of its own actions having made it so: as when
// what it was rolled back to is what is wanted now.
func agreed(s fleet.HelmStatus, spec flux.HelmReleaseSpec) fleet.HelmStatus {
	s.Stalled = fleet.Condition{}
	if spec.Test == nil || !spec.Test.Enable {
		s.TestSuccess = fleet.Condition{}
	}
	if s.Released.Status == fleet.True && s.Remediated.Status == "" || len(s.History) == 0 {
		return s
	}
	current, action := s.History[0], job.Upgrade
	if s.Remediated.Status == "" && (s.Released.Reason == job.Install.Failed() || current.Action == string(job.Install)) {
		action = job.Install
	}
	s.Remediated = fleet.Condition{}
	s.Released = fleet.Condition{Status: fleet.True, Reason: succeeded[action], Message: outcome{step: step{action: action}}.went(s)}
	return s
}

// settledStatus is the status at the end of a pass.
func settledStatus(s fleet.HelmStatus, e end, spec flux.HelmReleaseSpec) fleet.HelmStatus {
	switch e {
	case settled:
		if r := ready(s, spec); r.Status == fleet.True {
			s = forgiven(s)
		}
		s.History = shortened(s.History, spec, s)
	case exhausted:
		after := job.Action(s.LastAttemptedReleaseAction)
		n := s.Failures
		if r := remedyOf(after, spec, s); r != nil {
			n = r.failures
		}
		s.Stalled = fleet.Condition{Status: fleet.True, Reason: reasonExceeded, Message: fmt.Sprintf("Failed to %s after %d attempt(s)", after, n)}
	case aimless:
		s.Stalled = fleet.Condition{Status: fleet.True, Reason: reasonNoTarget, Message: "There is no earlier version that was deployed and passed its tests, to roll back to"}
	}
	return s
}

// historyLength is how many versions are recorded where there is none to roll back to.
const historyLength = 5

// shortened drops what nothing is rolled back to any more.
func shortened(history []fleet.HelmSnapshot, spec flux.HelmReleaseSpec, s fleet.HelmStatus) []fleet.HelmSnapshot {
	after := job.Action(s.LastAttemptedReleaseAction)
	if r := remedyOf(after, spec, s); !retriesOf(after, spec) && r != nil {
		if good, found := lastGood(history, r.ignoreTests); found {
			at := slices.IndexFunc(history, func(s fleet.HelmSnapshot) bool { return s.Version == good.Version })
			history = history[:at+1]
		}
	}
	return history[:min(len(history), historyLength)]
}

// maxMessage bounds what is recorded and told of one failure.
const maxMessage = 2 << 10

func cut(message string) string {
	message = strings.TrimSpace(strings.Map(printable, strings.ToValidUTF8(message, "\uFFFD")))
	if len(message) <= maxMessage {
		return message
	}
	return strings.ToValidUTF8(message[:maxMessage], "") + "…"
}

// printable drops the characters that control a terminal: a chart may fail with any text.
func printable(r rune) rune {
	if r < ' ' && r != '\n' && r != '\t' || r == 0x7f {
		return -1
	}
	return r
}
