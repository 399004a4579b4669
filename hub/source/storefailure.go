package source

import "context"

// StoreFailure is an error of the hub's own disk or blob store, told from those of upstreams. Whoever writes wraps it;
// Upstream.Explain words it.
type StoreFailure struct{ Err error }

func (e *StoreFailure) Error() string { return e.Err.Error() }

// Unwrap implements errors.Unwrap.
func (e *StoreFailure) Unwrap() error { return e.Err }

// explain words it. limited is the context with the upstream's timeout.
func (e *StoreFailure) explain(u Upstream, limited context.Context) *Error {
	failure := u.Fail(KindStore, "the hub could not keep what it fetched; it is tried again")
	if limited.Err() != nil {
		failure = u.Fail(KindTimeout, "what it has could not be fetched and kept within %s; it is tried again", u.TimeLimit())
	}
	failure.Cause = e.Err
	return failure
}
