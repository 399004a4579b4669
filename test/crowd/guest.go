package crowd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
	"flotilla.dev/flotilla/spoke/session"
)

// Guest is one cluster: a spoke's session with the hub, and what it has fetched.
type Guest struct {
	Name string

	client  *session.Client
	reached chan struct{}      // closed when a session was opened
	states  chan session.State // the newest
	held    map[fleet.Key]*manifest.Manifest

	mu       sync.Mutex
	identity session.Identity
	came     map[fleet.Digest]int // blobs, by how often
	bytes    int
}

func newGuest(name, hub, token string) (*Guest, error) {
	g := &Guest{
		Name: name, reached: make(chan struct{}), states: make(chan session.State, 1), held: map[fleet.Key]*manifest.Manifest{}, came: map[fleet.Digest]int{},
	}
	kube := uuid.NewString()
	var err error
	g.client, err = session.New(session.Config{
		Store: g, Records: forgetful{}, Log: slog.New(slog.DiscardHandler), Accept: g.accept, Unknown: func() []fleet.Key { return nil },
		Facts:   func(context.Context) fleet.ClusterFacts { return fleet.ClusterFacts{KubeSystemUID: kube} },
		Answer:  func(context.Context, fleet.Ask) (any, error) { return nil, errors.New("a guest knows nothing") },
		Reached: sync.OnceFunc(func() { close(g.reached) }),
		Hub:     hub, Token: token,
	})
	return g, err
}

// accept is session.Config.Accept.
func (g *Guest) accept(state session.State) {
	select {
	case <-g.states: // an older one, that nobody took
	default:
	}
	g.states <- state
}

// follow brings what each state asks for, until ctx ends.
func (g *Guest) follow(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case state := <-g.states:
			for key, encoded := range state.Items {
				if err := g.bring(ctx, state.ID.Epoch, encoded); err != nil && ctx.Err() == nil && !errors.Is(err, session.ErrSuperseded) {
					return fmt.Errorf("%s: %w", key, err)
				}
			}
		}
	}
}

// bring fetches what an Assignment asks for, unless it is here, and reports that all is well.
func (g *Guest) bring(ctx context.Context, epoch uint64, encoded []byte) error {
	a, err := fleet.DecodeAssignment(encoded)
	if err != nil {
		return err
	}
	if a.State == fleet.Removed {
		return nil
	}
	base := g.held[a.App]
	if base == nil || base.Digest() != a.Release.Manifest {
		var has fleet.Digest
		if base != nil {
			has = base.Digest()
		}
		pack, err := g.client.Fetch(ctx, a.App, epoch, a.Generation, has)
		if err != nil {
			return err
		}
		if pack.Base.IsZero() {
			base = nil
		}
		m, blobs, err := manifest.Unpack(pack.Content, base, a.Release.Manifest)
		if err != nil {
			return err
		}
		g.held[a.App] = m
		g.mu.Lock()
		for digest := range blobs {
			g.came[digest]++
		}
		g.bytes += len(pack.Content)
		g.mu.Unlock()
	}
	well := fleet.Condition{Status: fleet.True, Reason: fleet.ReasonSucceeded}
	g.client.Report(fleet.Report{
		App: a.App, Epoch: epoch, Generation: a.Generation, Release: a.Release.Digest(), Applied: a.Release.Digest(), Stage: fleet.StageSettled,
		Converged: true, Available: true, Waiting: fleet.WaitingNone, Ready: well, Healthy: well, HandledReconcileAt: a.RequestedAt, ObservedAt: time.Now(),
	})
	return nil
}

// Fetched is how many bytes came; a blob that came twice is an error.
func (g *Guest) Fetched() (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for digest, times := range g.came {
		if times > 1 {
			return g.bytes, fmt.Errorf("guest %s fetched the blob %s %d times", g.Name, digest, times)
		}
	}
	return g.bytes, nil
}

// Load is session.Store's.
func (g *Guest) Load(context.Context) (session.Identity, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.identity, nil
}

// Update is session.Store's.
func (g *Guest) Update(_ context.Context, change func(*session.Identity)) (session.Identity, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change(&g.identity)
	return g.identity, nil
}

// forgetful keeps no record.
type forgetful struct{}

func (forgetful) Load(string, any) bool         { return false }
func (forgetful) Save(string, any) bool         { return true }
func (forgetful) Append(string, any, bool) bool { return false }
func (forgetful) Entries(string) [][]byte       { return nil }
