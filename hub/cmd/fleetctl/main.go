// Command fleetctl is the client of a Flotilla hub for people and pipelines. It knows the admin API and nothing of
// Kubernetes: data goes to stdout, narration to stderr, and the exit code says how it went (`fleetctl help exit-codes`).
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/term"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	a := &app{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		stdinTTY:  term.IsTerminal(int(os.Stdin.Fd())),
		stdoutTTY: term.IsTerminal(int(os.Stdout.Fd())),
		stderrTTY: term.IsTerminal(int(os.Stderr.Fd())),
		env:       os.Getenv,
		now:       time.Now,
		pause:     pause,
		dial:      dialHub,

		withTimeout: context.WithTimeout,
	}
	os.Exit(a.run(ctx, os.Args[1:]))
}

// pause waits for d, or until ctx ends and then returns its error.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
