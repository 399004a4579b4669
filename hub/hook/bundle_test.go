package hook_test

import (
	"context"
	"crypto/hmac"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"flotilla.dev/flotilla/hub/hook"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
)

const token = "hunter2"

// memory is a Store that keeps its Receivers and objects in memory.
type memory struct {
	mu      sync.Mutex
	hooks   map[string][]fleet.Webhook
	objects []*resource.Object
	due     []string // in the order of the calls
	events  []fleet.FleetEvent
	lookups int
	away    error
}

func (m *memory) Webhooks(ctx context.Context, path string) ([]fleet.Webhook, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lookups++
	return m.hooks[path], m.away
}

func (m *memory) Object(_ context.Context, kind, namespace, name string) (*resource.Object, error) {
	for _, o := range m.objects {
		if o.String() == kind+"/"+namespace+"/"+name {
			return o, nil
		}
	}
	return nil, fmt.Errorf("get: %w", fleet.ErrNotFound)
}

func (m *memory) Labelled(_ context.Context, kind, namespace string, labels map[string]string) (found []*resource.Object, err error) {
	for _, o := range m.objects {
		has := o.Kind == kind && o.Metadata.Namespace == namespace
		for key, value := range labels {
			has = has && o.Metadata.Labels[key] == value
		}
		if has {
			found = append(found, o)
		}
	}
	return found, nil
}

func (m *memory) CallDue(_ context.Context, objects []*resource.Object) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, o := range objects {
		m.due = append(m.due, o.String())
	}
	return m.away
}

func (m *memory) AddEvent(_ context.Context, event fleet.FleetEvent) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events = append(m.events, event)
	return nil
}

// taken are the objects that were made due since it was last asked.
func (m *memory) taken() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	due := strings.Join(m.due, " ")
	m.due = nil
	return due
}

// bundle is Hooks on a memory.
type bundle struct {
	*memory
	*hook.Hooks
	t        *testing.T
	registry *prometheus.Registry
	log      *strings.Builder
}

func newBundle(t *testing.T, changes ...func(*hook.Config)) *bundle {
	t.Helper()
	b := &bundle{t: t, memory: &memory{hooks: map[string][]fleet.Webhook{}}, registry: prometheus.NewRegistry(), log: &strings.Builder{}}
	config := hook.Config{Store: b.memory, Client: http.DefaultClient, Metrics: b.registry,
		Log: slog.New(slog.NewTextHandler(&locked{to: b.log}, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	for _, change := range changes {
		change(&config)
	}
	b.Hooks = hook.New(config)
	return b
}

// locked lets several write.
type locked struct {
	mu sync.Mutex
	to *strings.Builder
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.to.Write(p)
}

// receiver declares one in namespace apps, and returns its path.
func (b *bundle) receiver(name string, spec flux.Receiver, secret map[string]string) string {
	return b.receiverIn("apps", name, spec, secret)
}

func (b *bundle) receiverIn(namespace, name string, spec flux.Receiver, secret map[string]string) string {
	b.t.Helper()
	if spec.Resources == nil {
		spec.Resources = []flux.ReceiverResource{{Kind: "GitRepository", Name: "app"}}
	}
	raw, err := json.Marshal(spec)
	if err != nil {
		b.t.Fatal(err)
	}
	data := map[string][]byte{}
	for key, value := range secret {
		data[key] = []byte(value)
	}
	path := flux.WebhookPath(secret["token"], name, namespace)
	b.hooks[path] = append(b.hooks[path], fleet.Webhook{Namespace: namespace, Name: name, Spec: raw, Secret: data})
	return path
}

// declare adds objects of a kind to the memory: "namespace/name", with labels.
func (b *bundle) declare(kind resource.Kind, name string, labels map[string]string) {
	namespace, name, _ := strings.Cut(name, "/")
	b.objects = append(b.objects, &resource.Object{APIVersion: kind.APIVersion, Kind: kind.Name, Spec: json.RawMessage(`{"url":"x"}`), Status: json.RawMessage(`{}`),
		Metadata: resource.Metadata{Namespace: namespace, Name: name, Labels: labels}})
}

// call posts a body, with pairs of headers.
func (b *bundle) call(path, body string, headers ...string) (code int, text string) {
	return b.Call(b.t.Context(), path, header(headers...), strings.NewReader(body))
}

func (b *bundle) want(code int, path, body string, headers ...string) {
	b.t.Helper()
	if got, text := b.call(path, body, headers...); got != code {
		b.t.Errorf("answered %d %s, want %d", got, text, code)
	}
}

func header(pairs ...string) http.Header {
	h := http.Header{}
	for pair := range slices.Chunk(pairs, 2) {
		h.Add(pair[0], pair[1])
	}
	return h
}

// sign returns the hex of a body's HMAC under a key.
func sign(newHash func() hash.Hash, key, body string) string {
	mac := hmac.New(newHash, []byte(key))
	_, _ = mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}
