package worker

import (
	"context"
	"time"

	"flotilla.dev/flotilla/pkg/flux"
)

// spell is the time that a pass or a removal takes. It ends with ctx; what Helm has begun in it goes on within the other.
type spell struct {
	ctx, within context.Context
	// left is what it may take from began on; timer ends it then.
	left  time.Duration
	began time.Time
	timer *time.Timer

	release func() // gives its place back; it may be called again
	ends    func()
}

func newSpell(ctx, within context.Context, want Assigned, release func()) *spell {
	s := &spell{left: want.passTime(), began: time.Now(), release: release}
	if want.App.Kind != flux.HelmReleaseKind { // it waits for no others, and begins nothing that goes on
		s.ctx, s.ends = context.WithTimeout(ctx, s.left)
		s.within, s.timer = s.ctx, time.NewTimer(s.left)
		return s
	}
	within, cancel := context.WithCancelCause(within)
	ended, overtake := context.WithCancelCause(within)
	unlink := context.AfterFunc(ctx, func() { overtake(context.Cause(ctx)) })
	s.timer = time.AfterFunc(s.left, func() { cancel(context.DeadlineExceeded) })
	s.ctx, s.within, s.ends = ended, within, func() {
		unlink()
		overtake(nil)
		cancel(nil)
	}
	return s
}

// wait stops the clock, and gives the place to another, until what it returns is called.
func (s *spell) wait() (over func()) {
	s.timer.Stop()
	s.left -= time.Since(s.began)
	s.release()
	return func() {
		s.began = time.Now()
		s.timer.Reset(s.left)
	}
}

func (s *spell) end() {
	s.timer.Stop()
	s.ends()
	s.release()
}
