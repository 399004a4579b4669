package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
)

// call is one thing the engine was told.
type call struct {
	what   string // deploy, remove, load
	target Target
	at     time.Time
}

// engine does what the test says and notes what it is told.
type engine struct {
	mu     sync.Mutex
	status map[fleet.Key]Status
	asked  int // for a Status
	apps   []fleet.Key
	// applied is what AppliedBlobs says; ready, until it is closed, keeps Ready waiting; nil: it is.
	applied map[fleet.Key][]fleet.Digest
	ready   chan struct{}
	// deploy, remove and load replace what is done; nil: it succeeds.
	deploy func(ctx context.Context, target Target) error
	remove func(ctx context.Context) (bool, error)
	load   func() error

	calls     chan call
	suspended map[fleet.Key]bool
}

func newEngine() *engine {
	return &engine{status: map[fleet.Key]Status{}, applied: map[fleet.Key][]fleet.Digest{}, calls: make(chan call, 1000), suspended: map[fleet.Key]bool{}}
}

func (e *engine) Ready(ctx context.Context, _ fleet.Key) error {
	e.mu.Lock()
	ready := e.ready
	e.mu.Unlock()
	if ready == nil {
		return nil
	}
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (e *engine) Deploy(ctx context.Context, target Target) error {
	e.mu.Lock()
	deploy := e.deploy
	e.mu.Unlock()
	e.calls <- call{"deploy", target, time.Now()}
	if deploy != nil {
		if err := deploy(ctx, target); err != nil {
			return err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.status[target.App]
	s.Applied, s.Bound = target.Release.Digest(), target.Binding.Digest()
	if s.Healthy.Status == "" {
		s.Healthy = fleet.Condition{Status: fleet.True}
	}
	e.status[target.App] = s
	return nil
}

func (e *engine) Remove(ctx context.Context, r Removal) (bool, error) {
	e.mu.Lock()
	remove := e.remove
	e.mu.Unlock()
	e.calls <- call{"remove", Target{App: r.App, Release: r.Release, ApprovedPrune: r.ApprovedPrune}, time.Now()}
	if remove != nil {
		return remove(ctx)
	}
	return true, nil
}

func (e *engine) Load(_ context.Context, app fleet.Key, m *manifest.Manifest, release fleet.Release, binding fleet.Binding) error {
	e.mu.Lock()
	load := e.load
	e.mu.Unlock()
	e.calls <- call{"load", Target{App: app, Manifest: m, Release: release, Binding: binding}, time.Now()}
	if load != nil {
		if err := load(); err != nil {
			return err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.status[app] = Status{Applied: release.Digest(), Bound: binding.Digest(), Healthy: fleet.Condition{Status: fleet.True}}
	return nil
}

func (e *engine) SetSuspended(app fleet.Key, suspended bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.suspended[app] = suspended
}

func (e *engine) Status(app fleet.Key) Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked++
	return e.status[app]
}

func (e *engine) AppliedBlobs(app fleet.Key) []fleet.Digest {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.applied[app])
}

func (e *engine) Apps(context.Context) ([]fleet.Key, error) { return e.apps, nil }

func (e *engine) set(app fleet.Key, change func(*Status)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.status[app]
	change(&s)
	e.status[app] = s
}

// on replaces what a pass does.
func (e *engine) on(deploy func(ctx context.Context, target Target) error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.deploy = deploy
}

// blobs are a cache without a bound.
type blobs struct {
	mu      sync.Mutex
	content map[fleet.Digest][]byte
	pins    map[string][]fleet.Digest
}

func (b *blobs) Blob(digest fleet.Digest) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if content, found := b.content[digest]; found {
		return content, nil
	}
	return nil, fleet.ErrNotFound
}

func (b *blobs) Has(digest fleet.Digest) bool {
	_, err := b.Blob(digest)
	return err == nil
}

func (b *blobs) Put(contents map[fleet.Digest][]byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	maps.Copy(b.content, contents)
	return nil
}

func (b *blobs) Pin(owner string, digests []fleet.Digest) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pins[owner] = digests
}

func (b *blobs) Unpin(owner string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.pins, owner)
}

func (b *blobs) lose(digest fleet.Digest) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.content, digest)
}

// pinned is how many blobs an App holds.
func (b *blobs) pinned(app fleet.Key) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.pins[app.String()])
}

type records struct {
	mu      sync.Mutex
	content map[string][]byte
}

func (r *records) Load(name string, into any) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.content[name] != nil && json.Unmarshal(r.content[name], into) == nil
}

func (r *records) Save(name string, value any) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.content[name], _ = json.Marshal(value)
	return true
}

func (r *records) Remove(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.content, name)
}

// holdings are what is on hold.
type holdings struct {
	mu    sync.Mutex
	why   map[fleet.Key]string
	known chan struct{}
}

func newHoldings() *holdings {
	h := &holdings{why: map[fleet.Key]string{}, known: make(chan struct{})}
	close(h.known)
	return h
}

func (h *holdings) Await(ctx context.Context, _ fleet.Key) error {
	h.mu.Lock()
	known := h.known
	h.mu.Unlock()
	select {
	case <-known:
		return nil
	case <-ctx.Done():
		return errBroken
	}
}

func (h *holdings) OnHold(app fleet.Key) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.why[app]
}

// put has an App on hold; empty: not any more.
func (b *bench) put(app fleet.Key, why string) {
	b.hold.mu.Lock()
	b.hold.why[app] = why
	b.hold.mu.Unlock()
	b.pool.HoldChanged()
}

// bench is a Pool with everything around it.
type bench struct {
	*testing.T
	engine  *engine
	blobs   *blobs
	records *records
	// built are the Manifests that the hub has; fetches is what was asked of it.
	built   map[fleet.Digest]built
	fetches chan fleet.Digest // the bases

	mu sync.Mutex
	// fetchErr is what a fetch fails with.
	fetchErr error
	told     map[fleet.Key][]fleet.Report
	events   []fleet.Event
	log      bytes.Buffer

	hold *holdings
	pool *Pool
	stop func()
	// assigned is what was set last.
	assigned map[fleet.Key]*Assigned
}

type built struct {
	manifest *manifest.Manifest
	blobs    manifest.Blobs
}

func newBench(t *testing.T) *bench {
	b := &bench{
		T: t, engine: newEngine(), blobs: &blobs{content: map[fleet.Digest][]byte{}, pins: map[string][]fleet.Digest{}},
		records: &records{content: map[string][]byte{}}, built: map[fleet.Digest]built{}, fetches: make(chan fleet.Digest, 1000),
		told: map[fleet.Key][]fleet.Report{}, hold: newHoldings(),
	}
	b.start()
	return b
}

// start runs a Pool; again after stop, it is a restart.
func (b *bench) start() {
	pool, err := New(Config{
		Engine: b.engine, Hold: b.hold, Blobs: b.blobs, Records: b.records, Log: slog.New(slog.NewTextHandler(&b.log, nil)),
		Fetch: func(_ context.Context, a Assigned, base *manifest.Manifest) (*manifest.Manifest, manifest.Blobs, error) {
			var has fleet.Digest
			if base != nil {
				has = base.Digest()
			}
			b.fetches <- has
			b.mu.Lock()
			defer b.mu.Unlock()
			one := b.built[a.Release.Manifest]
			return one.manifest, one.blobs, b.fetchErr
		},
		Report: func(r fleet.Report) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.told[r.App] = append(b.told[r.App], r)
		},
		Forget: func(app fleet.Key) {
			b.mu.Lock()
			defer b.mu.Unlock()
			delete(b.told, app)
		},
		Event: func(e fleet.Event) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.events = append(b.events, e)
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.pool = pool
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = pool.Run(ctx)
	}()
	b.stop = func() {
		cancel()
		<-done
	}
	b.Cleanup(b.stop)
}

// build makes the Manifest of n ConfigMaps, of which the first says what.
func (b *bench) build(what string, n int) fleet.Digest {
	b.Helper()
	var documents [][]byte
	for i := range n {
		documents = append(documents, fmt.Appendf(nil, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c%d","namespace":"apps"},"data":{"k":%q}}`, i, what))
		what = "same"
	}
	m, content, err := manifest.New(documents, manifest.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.built[m.Digest()] = built{m, content}
	return m.Digest()
}

// assignment is one of the Manifest that build made.
func (b *bench) assignment(name, what string, edit func(*Assigned)) Assigned {
	b.Helper()
	key := here
	key.Name = name
	a := assigned(1, nil)
	a.App = key
	a.Release = fleet.Release{App: key, Manifest: b.build(what, 3)}
	if edit != nil {
		edit(&a)
	}
	return a
}

// set assigns these. What is as it was stays in place, as with every state that the spoke accepts.
func (b *bench) set(assigned ...Assigned) {
	all := map[fleet.Key]*Assigned{}
	for _, a := range assigned {
		if all[a.App] = b.assigned[a.App]; all[a.App] == nil || !reflect.DeepEqual(*all[a.App], a) {
			all[a.App] = &a
		}
	}
	b.assigned = maps.Clone(all)
	b.pool.Set(all)
}

// next is the next thing the engine is told, of that kind.
func (b *bench) next(what string) call {
	b.Helper()
	select {
	case c := <-b.engine.calls:
		if c.what != what {
			b.Fatalf("the engine was told to %s, want %s", c.what, what)
		}
		return c
	case <-time.After(24 * time.Hour):
		b.Fatalf("the engine was not told to %s", what)
	}
	return call{}
}

// cut has fetches fail; nil: no more.
func (b *bench) cut(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fetchErr = err
}

// idle fails the test when the engine was told anything.
func (b *bench) idle(when string) {
	b.Helper()
	select {
	case c := <-b.engine.calls:
		b.Errorf("%s the engine was told to %s", when, c.what)
	default:
	}
}

// reports are all that the hub was told of an App, since it was told to forget it.
func (b *bench) reports(app fleet.Key) []fleet.Report {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.told[app])
}

// last is what the hub was told last of an App.
func (b *bench) last(app fleet.Key) fleet.Report {
	reports := b.reports(app)
	if len(reports) == 0 {
		return fleet.Report{}
	}
	return reports[len(reports)-1]
}

var errBroken = errors.New("broken")
