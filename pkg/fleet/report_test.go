package fleet_test

import (
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
)

func TestWhatIsAppliedHasFailedWhenWaitingDoesNotHelpOrTookTooLong(t *testing.T) {
	t.Parallel()
	release, before := fleet.DigestOf([]byte("release")), fleet.DigestOf([]byte("before"))
	is := func(status fleet.ConditionStatus, reason string) fleet.Condition {
		return fleet.Condition{Status: status, Reason: reason}
	}
	applied, late := is(fleet.True, fleet.ReasonSucceeded), is(fleet.False, fleet.ReasonHealthCheckFailed)
	for name, test := range map[string]struct {
		report fleet.Report
		want   bool
	}{
		"healthy":                        {fleet.Report{Release: release, Applied: release, Stage: fleet.StageSettled, Ready: applied, Healthy: is(fleet.True, "")}, false},
		"on its way":                     {fleet.Report{Release: release, Applied: release, Stage: fleet.StageVerifying, Ready: applied, Healthy: is(fleet.Unknown, "")}, false},
		"an object has failed":           {fleet.Report{Release: release, Applied: release, Stage: fleet.StageFailed, Ready: late, Healthy: is(fleet.False, "")}, true},
		"one has, and nothing waits":     {fleet.Report{Release: release, Applied: release, Stage: fleet.StageFailed, Ready: applied, Healthy: is(fleet.False, "")}, true},
		"too late":                       {fleet.Report{Release: release, Applied: release, Stage: fleet.StageFailed, Ready: late, Healthy: is(fleet.Unknown, "")}, true},
		"too late, and nothing waits":    {fleet.Report{Release: release, Applied: release, Stage: fleet.StageFailed, Ready: applied, Healthy: is(fleet.Unknown, "")}, true},
		"one has, others are waited for": {fleet.Report{Release: release, Applied: release, Stage: fleet.StageVerifying, Ready: is(fleet.Unknown, ""), Healthy: is(fleet.False, "")}, true},
		"it was late, and is healthy":    {fleet.Report{Release: release, Applied: release, Stage: fleet.StageFailed, Ready: late, Healthy: is(fleet.True, "")}, false},
		"it could not prune":             {fleet.Report{Release: release, Applied: release, Stage: fleet.StageFailed, Ready: is(fleet.False, fleet.ReasonPruneFailed), Healthy: is(fleet.Unknown, "")}, false},
		"healthy, but it did not prune":  {fleet.Report{Release: release, Applied: release, Stage: fleet.StageFailed, Ready: is(fleet.False, fleet.ReasonPruneFailed), Healthy: is(fleet.True, "")}, false},
		"the one before has failed":      {fleet.Report{Release: release, Applied: before, Stage: fleet.StageApplying, Ready: is(fleet.Unknown, ""), Healthy: is(fleet.False, "")}, false},
		"it is not applied":              {fleet.Report{Release: release, Applied: before, Stage: fleet.StageFailed, Ready: is(fleet.False, fleet.ReasonFailed), Healthy: is(fleet.True, "")}, false},
		"nothing is known":               {fleet.Report{}, false},
	} {
		if got := test.report.HasFailed(); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
