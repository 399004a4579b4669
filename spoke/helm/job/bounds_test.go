package job_test

import (
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/helm/job"
)

func TestAnActionThatMayWaitLongMayLookAtItsObjectsForLong(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		job          job.Job
		action       job.Action
		timeout, cpu time.Duration
	}{
		{job.Job{}, job.Install, 5 * time.Minute, time.Minute + 15*time.Second},
		{job.Job{Timeout: time.Hour}, job.Upgrade, time.Hour, 4 * time.Minute},
		{job.Job{Timeout: time.Hour, Controls: fleet.HelmControls{Rollback: time.Minute}}, job.Rollback, time.Minute, time.Minute + 3*time.Second},
		{job.Job{Timeout: time.Hour, Controls: fleet.HelmControls{Test: time.Minute}}, job.Uninstall, time.Hour, 4 * time.Minute},
		{job.Job{Timeout: time.Hour}, job.Render, time.Hour, time.Minute},
		{job.Job{Timeout: time.Hour}, job.Observe, time.Hour, time.Minute},
	} {
		if timeout, cpu := tc.job.TimeoutOf(tc.action), tc.job.CPU(time.Minute, tc.action); timeout != tc.timeout || cpu != tc.cpu {
			t.Errorf("%s of %+v: %s and %s of processor time, want %s and %s", tc.action, tc.job, timeout, cpu, tc.timeout, tc.cpu)
		}
	}
}
