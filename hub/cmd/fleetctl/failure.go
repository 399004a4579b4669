package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"flotilla.dev/flotilla/hub/cmd/fleetctl/printer"
)

// failure is an error as a person reads it, in three parts, with its exit code.
type failure struct {
	code exitCode
	// what went wrong, why, and what to do next; the last two may be empty.
	what, why, next string
}

func (f *failure) Error() string { return f.what }

// usagef is wrong usage of cmd.
func usagef(cmd *cobra.Command, format string, args ...any) *failure {
	return &failure{code: exitUsage, what: fmt.Sprintf(format, args...), next: cmd.CommandPath() + " --help"}
}

// refuse is input that cannot be taken.
func refuse(format string, args ...any) *failure {
	return &failure{code: exitUsage, what: fmt.Sprintf(format, args...)}
}

// report tells err on stderr and returns its exit code.
func (a *app) report(ctx context.Context, err error) exitCode {
	f := a.explain("", err)
	if ctx.Err() != nil {
		if isReading(err) {
			return exitInterrupted
		}
		f = a.interrupted()
	}
	var text strings.Builder
	what, more, _ := strings.Cut(strings.TrimSpace(f.what), "\n")
	text.WriteString("Error: " + printer.Fold(what) + "\n")
	for line := range strings.Lines(more + "\n" + f.why) {
		if line = printer.Fold(line); line != "" {
			text.WriteString("  " + line + "\n")
		}
	}
	if f.next != "" {
		text.WriteString("  try: " + f.next + "\n")
	}
	a.narrating.Lock()
	defer a.narrating.Unlock()
	fmt.Fprint(a.stderr, text.String())
	return f.code
}

// interrupted is what the person is told who ended a command: what goes on without it, and how to follow that.
func (a *app) interrupted() *failure {
	f := &failure{code: exitInterrupted, what: "interrupted: nothing was changed"}
	if follow := a.asked.follow(); follow != "" {
		f.what, f.why, f.next = "interrupted", "what was asked for goes on at the hub", follow
	}
	return f
}

// errReading marks the end of a command that only followed: an interrupt is how one leaves it.
var errReading = errors.New("stopped following")

func isReading(err error) bool { return errors.Is(err, errReading) }

// explain makes a failure of any error: what was being done is doing. A failure stays as it is.
func (a *app) explain(doing string, err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	if s, ok := status.FromError(err); ok && s.Code() != codes.OK {
		return a.explainStatus(doing, s)
	}
	what := err.Error()
	if doing != "" {
		what = doing + ": " + what
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return &failure{code: exitTimeout, what: orWhat(doing, "timed out"), next: "a longer --timeout"}
	case errors.Is(err, context.Canceled):
		return &failure{code: exitInterrupted, what: "interrupted"}
	}
	return &failure{code: exitGeneral, what: what}
}

func orWhat(doing, what string) string {
	if doing == "" {
		return what
	}
	return doing + ": " + what
}
