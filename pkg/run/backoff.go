package run

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff is the pause between tries: exponential with full jitter, so that many who failed together do not try
// together. It is not safe for concurrent use.
type Backoff struct {
	// Min is the upper bound of the first pause, Max that of any. Both must be set.
	Min, Max time.Duration
	// bound of the next pause; zero: Min.
	bound time.Duration
}

// Next returns the next pause: random, up to a bound that doubles from Min to Max.
func (b *Backoff) Next() time.Duration {
	bound := min(max(b.bound, b.Min), b.Max)
	b.bound = min(2*bound, b.Max)
	return rand.N(bound) + 1
}

// Reset starts again from Min, after a success.
func (b *Backoff) Reset() { b.bound = 0 }

// Until calls f until it succeeds, with the pauses of back in between, and failed with each of its errors. It reports
// whether f succeeded: it does not where ctx ends first.
func Until(ctx context.Context, back Backoff, f func(context.Context) error, failed func(error)) bool {
	for {
		err := f(ctx)
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		failed(err)
		if Sleep(ctx, back.Next()) != nil {
			return false
		}
	}
}
