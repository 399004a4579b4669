package helm

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"log/slog"
	"maps"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/manifest"
	"flotilla.dev/flotilla/spoke/helm/sdk"
	"flotilla.dev/flotilla/test/lab"
)

// TestMain has this very program be flotilla-helm, where it is started as that.
func TestMain(m *testing.M) {
	sdk.Main()
	// What a test here does is wait, mostly: for Helm, and for what the podlet makes of Pods.
	if err := flag.Set("test.parallel", strconv.Itoa(3*runtime.GOMAXPROCS(0))); err != nil {
		panic(err)
	}
	lab.Main(m)
}

// bundle is a test's own: namespaces, an App, and an engine that can be restarted on them.
type bundle struct {
	*testing.T
	cluster   *lab.Cluster
	client    kubernetes.Interface
	helm      *helm
	namespace string
	system    string
	app       fleet.Key
	plan      flux.HelmPlan
	controls  fleet.Controls
	binding   fleet.Binding

	engine *Engine
	stop   func()
	// asked counts the requests of the engine's own, but for watches.
	asked atomic.Int64
	// gate is called before each of them, if it is set.
	gate atomic.Pointer[func(*http.Request)]

	mu      sync.Mutex
	blobs   manifest.Blobs
	events  []fleet.Event
	changed chan struct{}
	// onHolds counts how often it was told that something else is on hold.
	onHolds int
}

func newBundle(t *testing.T) *bundle {
	t.Helper()
	t.Parallel()
	cluster := lab.TestCluster(t)
	client, err := kubernetes.NewForConfig(cluster.REST())
	if err != nil {
		t.Fatal(err)
	}
	b := &bundle{
		T: t, cluster: cluster, client: client, helm: &helm{client: client},
		namespace: lab.TestNamespace(t, cluster), system: lab.TestNamespace(t, cluster),
		blobs: manifest.Blobs{}, changed: make(chan struct{}, 1),
	}
	b.app = fleet.Key{Home: fleet.HubHome, Kind: "HelmRelease", Namespace: b.namespace, Name: "app"}
	b.plan.Spec.Values = json.RawMessage(`{"a":1}`)
	t.Cleanup(func() {
		b.kill()
		b.helm.mu.Lock()
		defer b.helm.mu.Unlock()
		if n := len(b.helm.open); n > 0 || b.helm.misclosed > 0 {
			t.Errorf("%d processes are left running, and %d were closed twice", n, b.helm.misclosed)
		}
	})
	return b.start()
}

// start runs an engine on the bundle. One that runs is left where it is, as when it was killed.
func (b *bundle) start() *bundle {
	b.Helper()
	config := b.cluster.REST()
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return tripper(func(r *http.Request) (*http.Response, error) {
			if r.URL.Query().Get("watch") == "" {
				b.asked.Add(1)
				if gate := b.gate.Load(); gate != nil {
					(*gate)(r)
				}
			}
			return next.RoundTrip(r)
		})
	})
	engine, err := New(Config{
		REST: config, Runner: b.helm, Namespace: b.system, Log: slog.New(slog.NewTextHandler(b.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
		Blob: func(digest fleet.Digest) ([]byte, error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			if blob, has := b.blobs[digest]; has {
				return blob, nil
			}
			return nil, fleet.ErrNotFound
		},
		Event: func(event fleet.Event) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.events = append(b.events, event)
		},
		Changed: func(fleet.Key) { b.signal() },
		HoldChanged: func() {
			b.mu.Lock()
			b.onHolds++
			b.mu.Unlock()
			b.signal()
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- engine.Run(ctx) }()
	before := b.stop
	b.engine = engine
	b.stop = func() {
		cancel()
		if err := <-done; err != nil {
			b.Errorf("run: %v", err)
		}
		if before != nil {
			before()
		}
	}
	return b
}

// signal has whoever waits look again.
func (b *bundle) signal() {
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

type tripper func(*http.Request) (*http.Response, error)

func (t tripper) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

func (b *bundle) kill() {
	if b.stop != nil {
		b.stop()
		b.stop = nil
	}
}

// target is a chart, "name@version", with the bundle's plan.
func (b *bundle) target(chart string) Target {
	b.Helper()
	encoded, err := b.plan.Encode()
	if err != nil {
		b.Fatal(err)
	}
	m, blobs, err := manifest.NewChart(encoded, []byte(chart))
	if err != nil {
		b.Fatal(err)
	}
	b.mu.Lock()
	maps.Copy(b.blobs, blobs)
	b.mu.Unlock()
	return Target{
		App: b.app, Release: fleet.Release{App: b.app, Manifest: m.Digest()}, Manifest: m, Binding: b.binding, Controls: b.controls,
	}
}

func (b *bundle) try(target Target) error {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	return b.engine.Deploy(ctx, target)
}

func (b *bundle) deploy(chart string) Target {
	b.Helper()
	target := b.target(chart)
	if err := b.try(target); err != nil {
		b.Fatal(err)
	}
	return target
}

// refused deploys what must fail for that reason.
func (b *bundle) refused(target Target, reason string) *Failure {
	b.Helper()
	var failure *Failure
	if err := b.try(target); !errors.As(err, &failure) || failure.Reason != reason {
		b.Fatalf("error %v, want a failure for %s", err, reason)
	}
	return failure
}

func (b *bundle) status() fleet.HelmStatus {
	b.Helper()
	var s fleet.HelmStatus
	if err := json.Unmarshal(b.engine.Status(b.app).Detail, &s); err != nil {
		b.Fatal(err)
	}
	return s
}

// stored is what Helm has: "version:status:chart version", the newest first.
func (b *bundle) stored() string {
	b.Helper()
	history, err := (&process{helm: b.helm}).of(names{Release: "app", Storage: b.namespace})
	if err != nil {
		b.Fatal(err)
	}
	return say(history)
}

func say(history []fleet.HelmSnapshot) string {
	var words []string
	for _, s := range history {
		words = append(words, strings.Join([]string{"v" + string(rune('0'+s.Version)), s.Status, s.ChartVersion}, ":"))
	}
	return strings.Join(words, " ")
}

// wants compares what was done since, and what is stored.
func (b *bundle) wants(did, stored string) {
	b.Helper()
	if got := b.helm.done(); got != did {
		b.Errorf("done was %q, want %q", got, did)
	}
	if got := b.stored(); got != stored {
		b.Errorf("stored is %q, want %q", got, stored)
	}
}

// told are the reasons of the events since it was called last.
func (b *bundle) told() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var reasons []string
	for _, event := range b.events {
		reasons = append(reasons, event.Reason)
	}
	b.events = nil
	return strings.Join(reasons, " ")
}

// until waits for a condition, which a change of the App is the sign of.
func (b *bundle) until(what string, is func() bool) {
	b.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	for !is() {
		select {
		case <-b.changed:
		case <-deadline.C:
			b.Fatalf("not within a minute: %s", what)
		}
	}
}

func retries(n int) *flux.HelmRemediation { return &flux.HelmRemediation{Retries: n} }
