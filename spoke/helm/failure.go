package helm

import (
	"errors"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/helm/job"
)

// Failure is why a pass failed, in Flux's words, and what is known of when another may do better.
type Failure struct {
	Err error
	// Reason of the Ready condition; empty: none of Flux's.
	Reason string
	// Transient: the API server, or the way to it, was in the way. Terminal: nothing is tried before something changes, or the
	// same again cannot succeed.
	Transient, Terminal bool
	// RetryAfter is when the next pass is due; zero: as after any failure.
	RetryAfter time.Duration
}

// Error is the error's.
func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap returns the error.
func (f *Failure) Unwrap() error { return f.Err }

// failureOf is that of a request that changes nothing.
func failureOf(f *job.Failure) *Failure {
	return &Failure{Err: errors.New(cut(f.Message)), Reason: f.Reason, Transient: f.Transient, Terminal: f.Invalid}
}

// failureAs is a failure as a condition tells it.
func failureAs(c fleet.Condition) *Failure {
	return &Failure{Err: errors.New(c.Message), Reason: c.Reason}
}
