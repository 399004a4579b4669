package run

import (
	"context"
	"math/rand/v2"
	"time"
)

// Every calls f at once, on every wake and every period, the period jittered by a tenth either way, until ctx ends;
// then it returns nil. A wake during f leads to one more call. A nil wake never comes.
func Every(ctx context.Context, period time.Duration, wake <-chan struct{}, f func(context.Context)) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-timer.C:
		}
		if ctx.Err() != nil {
			return nil
		}
		f(ctx)
		timer.Reset(Jitter(period, 0.1))
	}
}

// Sleep waits for d, or until ctx ends; then it returns the cause of that.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// Jitter returns a random duration within the fraction of d either way: Jitter(10*time.Second, 0.1) is 9 s to 11 s.
func Jitter(d time.Duration, fraction float64) time.Duration {
	return d + time.Duration((2*rand.Float64()-1)*fraction*float64(d))
}
