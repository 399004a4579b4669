package hook

import (
	"sync"
	"time"
)

// limits has a bucket of tokens for each path that is called, whether anybody has it or not: else the answer would tell.
type limits struct {
	rate, burst float64

	mu      sync.Mutex
	buckets map[string]*bucket
}

// bucket is one with so many tokens at that time.
type bucket struct {
	tokens float64
	at     time.Time
}

// maxBuckets bounds them. Whoever calls more paths than that within the time in which a bucket fills is guessing: then the
// bound on lookups is what holds.
const maxBuckets = 4096

func newLimits(rate float64, burst int) *limits {
	return &limits{rate: rate, burst: float64(burst), buckets: map[string]*bucket{}}
}

// take reports whether a call of a path may go on.
func (l *limits) take(path string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	b := l.buckets[path]
	if b == nil {
		if len(l.buckets) >= maxBuckets && !l.sweep(now) {
			return true
		}
		b = &bucket{tokens: l.burst, at: now}
		l.buckets[path] = b
	}
	b.tokens, b.at = l.level(b, now), now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

func (l *limits) level(b *bucket, now time.Time) float64 {
	return min(l.burst, b.tokens+now.Sub(b.at).Seconds()*l.rate)
}

// sweep forgets full buckets, and reports whether there were any.
func (l *limits) sweep(now time.Time) bool {
	before := len(l.buckets)
	for path, b := range l.buckets {
		if l.level(b, now) >= l.burst {
			delete(l.buckets, path)
		}
	}
	return len(l.buckets) < before
}
