package lease

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/pkg/run"
	"flotilla.dev/flotilla/pkg/telemetry"
)

// DefaultDuration is how long a Lease lives without renewal.
const DefaultDuration = 30 * time.Second

// repeatAfter is how long an agent that goes on waiting does not say so again.
const repeatAfter = time.Hour

// errLost is why acting ends when the Lease is another's, or may be soon.
var errLost = errors.New("the Lease is lost")

// Leases is what is used of the API server: a namespace's Leases.
type Leases interface {
	Get(ctx context.Context, name string, options metav1.GetOptions) (*coordinationv1.Lease, error)
	Create(ctx context.Context, lease *coordinationv1.Lease, options metav1.CreateOptions) (*coordinationv1.Lease, error)
	Update(ctx context.Context, lease *coordinationv1.Lease, options metav1.UpdateOptions) (*coordinationv1.Lease, error)
}

// Config is what a Lease is made of.
type Config struct {
	Leases Leases
	// Log defaults to slog.Default.
	Log *slog.Logger
	// Name of the Lease object.
	Name string
	// Holder names this agent. One that comes back under its name has its Lease at once.
	Holder string
	// Duration is the Lease's life; zero: DefaultDuration.
	Duration time.Duration
	// Contended is called while the Lease is held with the name of another agent that waits for it, if it is set: for
	// longer than a change of agents takes, and again now and then. It must not block.
	Contended func(other string)
}

// Run waits for the Lease, then runs act while it is held. When it is lost, act's context ends at once; when act has
// returned, Run waits for the Lease again. Run returns when ctx ends or act returns by itself, with act's error, and
// gives the Lease back.
func Run(ctx context.Context, config Config, act run.Task) error {
	l := &holder{Config: config}
	l.Log = cmp.Or(config.Log, slog.Default()).With("lease", config.Name, "holder", config.Holder)
	l.Duration = cmp.Or(config.Duration, DefaultDuration)
	for {
		if err := l.acquire(ctx); err != nil {
			return nil // ctx ended
		}
		l.Log.Info("holding the Lease; acting for this cluster")
		err := l.hold(ctx, act)
		if ctx.Err() != nil || !errors.Is(err, errLost) {
			l.release(ctx)
			return err
		}
		l.Log.Error("stopped acting: the Lease was lost", telemetry.KeyErr, err)
	}
}

// holder is one agent's view of the Lease.
type holder struct {
	Config
	// lease is the object as last read or written; it is used by one goroutine at a time.
	lease *coordinationv1.Lease
	// renewed is when the last successful renewal was begun.
	renewed time.Time
	// seen and since are the version of another's Lease and when it was first seen.
	seen  string
	since time.Time
}

// acquire returns when the Lease is this agent's, or ctx ends.
func (l *holder) acquire(ctx context.Context) error {
	told, due := "", time.Time{}
	for {
		other, err := l.take(ctx)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			l.Log.Warn("the Lease cannot be taken; trying on", telemetry.KeyErr, err)
		case other == "":
			return nil
		case other != told:
			l.Log.Warn("another agent acts for this cluster; waiting until it stops", "other", other)
			told, due = other, time.Now().Add(l.Duration)
		case !time.Now().Before(due):
			if err := l.announce(ctx); err != nil {
				l.Log.Warn("the holder of the Lease cannot be told that this agent waits; trying on", telemetry.KeyErr, err)
			} else {
				due = time.Now().Add(repeatAfter)
			}
		}
		if err := run.Sleep(ctx, run.Jitter(l.Duration/6, 0.1)); err != nil {
			return err
		}
	}
}

// hold runs act until it ends, or the Lease is lost: then the error wraps errLost.
func (l *holder) hold(ctx context.Context, act run.Task) error {
	held, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var renewing sync.WaitGroup
	renewing.Go(func() {
		if err := l.renew(held); err != nil {
			cancel(err)
		}
	})
	err := run.Recover(held, act)
	lost := context.Cause(held)
	cancel(nil)
	renewing.Wait()
	switch {
	case errors.Is(lost, errLost):
		return lost
	case ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.Cause(ctx))):
		return nil
	}
	return err
}

// renew keeps the Lease until ctx ends; its error wraps errLost.
func (l *holder) renew(ctx context.Context) error {
	for {
		if err := run.Sleep(ctx, l.Duration/3); err != nil {
			return nil
		}
		if err := l.renewOnce(ctx); err != nil {
			return err
		}
	}
}

// renewOnce tries until it is renewed or two thirds of the Lease's life have passed since the last time.
func (l *holder) renewOnce(ctx context.Context) error {
	ctx, cancel := context.WithDeadlineCause(ctx, l.renewed.Add(l.Duration*2/3), errLost)
	defer cancel()
	for {
		other, err := l.take(ctx)
		switch {
		case err == nil && other == "":
			return nil
		case err == nil:
			return fmt.Errorf("%w: %s holds it", errLost, other)
		case ctx.Err() == nil && !apierrors.IsConflict(err): // which is how a waiting agent's name on it shows
			l.Log.Warn("the Lease cannot be renewed; trying on", telemetry.KeyErr, err)
		}
		if run.Sleep(ctx, l.Duration/15) == nil {
			continue
		}
		if errors.Is(context.Cause(ctx), errLost) {
			return fmt.Errorf("%w: not renewed for %s: %w", errLost, l.Duration*2/3, err)
		}
		return nil // told to stop
	}
}
