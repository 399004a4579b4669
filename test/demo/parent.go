package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// withParent ends the context when the process that started the demo ends: make or go, killed, would leave it behind.
// Whoever chose to have hang-ups ignored, as nohup does, wants it to stay.
func withParent(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := func() { cancel(context.Canceled) }
	if signal.Ignored(syscall.SIGHUP) {
		return ctx, stop
	}
	parent := os.Getppid()
	go func() {
		ticker := time.NewTicker(500 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			if os.Getppid() != parent {
				cancel(errors.New("what started the demo has ended"))
				return
			}
		}
	}()
	return ctx, stop
}
