package helm

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

func TestProcessesWaitForOneAnotherWhereMemoryIsShortOrThereAreEnoughAndOneAlwaysGoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := crowd{most: 2}
		full := func() bool { return false }
		if err := c.enter(t.Context(), full); err != nil {
			t.Fatal(err)
		}
		second := make(chan error, 1)
		go func() { second <- c.enter(t.Context(), full) }()
		synctest.Wait()
		select {
		case err := <-second:
			t.Fatalf("the second does not wait: %v", err)
		default:
		}
		c.leave()
		if err := <-second; err != nil {
			t.Error(err)
		}
		gone := errors.New("gone")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(gone)
		if err := c.enter(ctx, full); !errors.Is(err, gone) {
			t.Errorf("whose pass has ended waits on: %v", err)
		}
		empty := func() bool { return true }
		if err := c.enter(t.Context(), empty); err != nil {
			t.Error(err)
		}
		third := make(chan error, 1)
		go func() { third <- c.enter(t.Context(), empty) }()
		synctest.Wait()
		select {
		case err := <-third:
			t.Fatalf("there are more than there may be: %v", err)
		default:
		}
		c.leave()
		if err := <-third; err != nil {
			t.Error(err)
		}
	})
}
