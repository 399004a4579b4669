package helm

import (
	"context"

	"flotilla.dev/flotilla/spoke/helm/job"
)

// Runner starts processes that have Helm's SDK. It is safe for concurrent use.
type Runner interface {
	// Start starts a process for a Job, with the chart's archive. The process ends with Close, or with ctx.
	Start(ctx context.Context, j job.Job, archive []byte) (Process, error)
}

// Process does one Request after the other.
type Process interface {
	// Do has an action done. A failed action is no error but in the Answer. An error is that of the process: it panicked,
	// went over a bound, or was ended, and of what it did nothing is known; its text has nothing that a chart says. When ctx
	// ends, the action is cut short, as Helm does it, and answered.
	Do(ctx context.Context, r job.Request) (job.Answer, error)
	// Close ends the process, if it has not ended.
	Close()
}
