package worker

import (
	"context"
	"errors"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/run"
)

// Failure is why a pass failed, as it is reported. An engine or a fetcher may return one to say more than its error
// does; of any other error the worker makes one.
type Failure struct {
	Err error
	// Reason of the Ready condition, in Flux's vocabulary; empty: ReconciliationFailed.
	Reason string
	// Transient failures are retried soon, and shown as failures only when they go on. Terminal ones are not expected
	// to go away before something changes.
	Transient, Terminal bool
	// RetryAfter is when it is to be tried again; zero: as the App says, or soon, if Transient.
	RetryAfter time.Duration
}

// Error is the error's.
func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap returns the error.
func (f *Failure) Unwrap() error { return f.Err }

// ErrSuperseded is what a Fetch returns for an Assignment that a newer one has overtaken at the hub.
var ErrSuperseded = errors.New("overtaken by a newer generation")

// failureOf makes a Failure of any error; the reason stands in where the error brings none.
func failureOf(err error, reason string) *Failure {
	if err == nil {
		return nil
	}
	result := &Failure{Err: err, Reason: reason}
	var told *Failure
	if errors.As(err, &told) {
		result.Transient, result.Terminal, result.RetryAfter = told.Transient, told.Terminal, told.RetryAfter
		if told.Reason != "" {
			result.Reason = told.Reason
		}
	}
	if result.Reason == "" {
		result.Reason = fleet.ReasonFailed
	}
	if bug := (*run.PanicError)(nil); errors.As(err, &bug) {
		result.Err = errors.New("internal error of the spoke (its log has the details)")
	}
	result.Terminal = result.Terminal || errors.Is(err, fleet.ErrTerminal) || errors.Is(err, fleet.ErrInvalid)
	result.Transient = !result.Terminal && (result.Transient || errors.Is(err, context.DeadlineExceeded))
	return result
}
