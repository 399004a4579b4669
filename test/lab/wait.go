package lab

import (
	"context"
	"testing"
	"time"
)

// pollPeriod is short, since what is polled here is local and a test waits for it.
const pollPeriod = 25 * time.Millisecond

// Eventually calls f until it returns nil, and fails the test with the last error when that takes longer than the
// timeout. What names the awaited thing in the failure: "the Deployment is available".
func Eventually(t testing.TB, timeout time.Duration, what string, f func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout) // t's own has ended in a Cleanup
	defer cancel()
	started := time.Now()
	if err := poll(ctx, f); err != nil {
		t.Fatalf("%s: not after %s: %v", what, time.Since(started).Round(time.Millisecond), err)
	}
}

// poll calls f until it returns nil or the context ends; then it returns f's last error.
func poll(ctx context.Context, f func() error) error {
	ticker := time.NewTicker(pollPeriod)
	defer ticker.Stop()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-ticker.C:
		}
	}
}
