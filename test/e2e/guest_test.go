package e2e

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
	"flotilla.dev/flotilla/spoke/session"
	"flotilla.dev/flotilla/test/lab"
)

// guest is a cluster without Kubernetes: a spoke's session with the hub, whose Apps are as they should be once they are
// fetched. A fleet of many clusters is cheap with guests, where the hub and the wire are what is looked at.
type guest struct {
	t      testing.TB
	name   string
	client *session.Client
	states chan session.State // the newest
	held   map[fleet.Key]*manifest.Manifest

	mu       sync.Mutex
	identity session.Identity
	came     map[fleet.Digest]int // blobs, by how often
	bytes    int
}

// invite has guests join a fleet; they leave with the test.
func invite(t testing.TB, f *lab.Fleet, names ...string) (guests []*guest) {
	t.Helper()
	ctx, leave := context.WithCancel(context.WithoutCancel(t.Context()))
	var there sync.WaitGroup
	t.Cleanup(func() { leave(); there.Wait() })
	for _, name := range names {
		registered := f.Fleetctl(t.Context(), "cluster", "register", name, "--print", "token")
		if err := registered.Err(); err != nil {
			t.Fatal(err)
		}
		g := &guest{t: t, name: name, states: make(chan session.State, 1), held: map[fleet.Key]*manifest.Manifest{}, came: map[fleet.Digest]int{}}
		kube := uuid.NewString()
		var err error
		g.client, err = session.New(session.Config{
			Store: g, Records: forgetful{}, Log: slog.New(slog.DiscardHandler), Accept: g.accept, Unknown: func() []fleet.Key { return nil },
			Facts:  func(context.Context) fleet.ClusterFacts { return fleet.ClusterFacts{KubeSystemUID: kube} },
			Answer: func(context.Context, fleet.Ask) (any, error) { return nil, errors.New("a guest knows nothing") },
			Hub:    f.SpokeAddress(), Token: strings.TrimSpace(registered.Stdout),
		})
		if err != nil {
			t.Fatal(err)
		}
		there.Go(func() {
			if err := g.client.Run(ctx); err != nil && ctx.Err() == nil {
				t.Errorf("guest %s: %v", name, err)
			}
		})
		there.Go(func() { g.follow(ctx) })
		guests = append(guests, g)
	}
	return guests
}

// accept is session.Config.Accept.
func (g *guest) accept(state session.State) {
	select {
	case <-g.states: // an older one, that nobody took
	default:
	}
	g.states <- state
}

func (g *guest) follow(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case state := <-g.states:
			for key, encoded := range state.Items {
				if err := g.bring(ctx, state.ID.Epoch, encoded); err != nil && ctx.Err() == nil && !errors.Is(err, session.ErrSuperseded) {
					g.t.Errorf("guest %s: %s: %v", g.name, key, err)
				}
			}
		}
	}
}

// bring fetches what an Assignment asks for, unless it is here, and reports that all is well.
func (g *guest) bring(ctx context.Context, epoch uint64, encoded []byte) error {
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

// fetched is how many bytes came; a blob that came twice is an error.
func (g *guest) fetched() (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for digest, times := range g.came {
		if times > 1 {
			return g.bytes, fmt.Errorf("guest %s fetched the blob %s %d times", g.name, digest, times)
		}
	}
	return g.bytes, nil
}

// Load is session.Store's.
func (g *guest) Load(context.Context) (session.Identity, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.identity, nil
}

// Update is session.Store's.
func (g *guest) Update(_ context.Context, change func(*session.Identity)) (session.Identity, error) {
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
