package source

import (
	"fmt"
	"runtime"
	"strings"

	"flotilla.dev/flotilla/pkg/fleet"
)

// recovered, deferred, makes a failure of a panic. Where it was is said; its text is not, which may be an upstream's.
func (u Upstream) recovered(err *error) {
	if panicked := recover(); panicked != nil {
		*err = u.Fail(KindStore, "the hub failed on it (a panic in %s, %T), which is a fault of the hub's to report; it is tried again", panickedAt(), panicked)
	}
}

// Recovered, deferred, makes a failure of a panic that is about no upstream.
func Recovered(err *error) {
	if panicked := recover(); panicked != nil {
		*err = fmt.Errorf("%w: the hub failed on it (a panic in %s, %T), which is a fault of the hub's to report", fleet.ErrInvalid, panickedAt(), panicked)
	}
}

// panickedAt is the innermost function that is not the runtime's, with its line.
func panickedAt() string {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	panicking := false
	for {
		frame, more := frames.Next()
		inRuntime := strings.HasPrefix(frame.Function, "runtime.")
		if panicking && !inRuntime {
			return fmt.Sprintf("%s:%d", frame.Function, frame.Line)
		}
		panicking = panicking || frame.Function == "runtime.gopanic"
		if !more {
			return "a place that is not known"
		}
	}
}
