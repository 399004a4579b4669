package run

import (
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
