package session_test

import (
	"context"
	"crypto"
	"crypto/tls"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/hub/session"
	"flotilla.dev/flotilla/hub/store"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/identity"
	"flotilla.dev/flotilla/pkg/manifest"
	"flotilla.dev/flotilla/pkg/resource"
	"flotilla.dev/flotilla/pkg/rpc"
	"flotilla.dev/flotilla/pkg/rpc/rpctest"
	"flotilla.dev/flotilla/pkg/run"
	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
	"flotilla.dev/flotilla/test/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }

var (
	admin  = fleet.Caller{Principal: "user:admin"}
	appKey = fleet.Key{Home: fleet.HubHome, Kind: "Kustomization", Namespace: "apps", Name: "app"}
)

// bundle is a session server on a database of its own.
type bundle struct {
	*store.Store
	t      *testing.T
	root   identity.Root
	server *rpctest.Server
	// metrics are of the session server and of its listener.
	metrics *prometheus.Registry
	url     string
}

// newBundle is one whose sessions are as the changes make them.
func newBundle(t *testing.T, changes ...func(*session.Config)) *bundle {
	t.Helper()
	root, err := identity.CreateKey(t.TempDir() + "/hub.key")
	if err != nil {
		t.Fatal(err)
	}
	return newBundleOf(t, root, changes...)
}

// newBundleOf is a hub with a given key on an empty database.
func newBundleOf(t *testing.T, root identity.Root, changes ...func(*session.Config)) *bundle {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	b := &bundle{t: t, root: root, url: lab.TestDatabaseFrom(t, "schema", store.Migrate), metrics: prometheus.NewRegistry()}
	var err error
	b.Store, err = store.Open(t.Context(), store.Config{URL: b.url, Sealer: root, KeyFingerprint: root.Fingerprint(), Log: log, MaxConnections: 6})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	config := session.Config{
		Store: b.Store, Blobs: b.Blobs(), Authority: root.Authority(), StateKey: root.StateKey(), TrustDomain: identity.DefaultTrustDomain, Log: log, Metrics: b.metrics,
		Watch: func(cluster string) (run.Wake, func()) { return b.Watch(store.TopicCluster(cluster)) },
	}
	for _, change := range changes {
		change(&config)
	}
	sessions := session.New(config)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() {
		done <- run.All(ctx, run.Named{Name: "store", Task: b.Run}, run.Named{Name: "sessions", Task: sessions.Run})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	b.server = rpctest.Serve(t, rpc.ServerConfig{Name: "spoke", TLS: root.Authority().ServerTLS([]string{"localhost"}), Log: log,
		Metrics: b.metrics, Authorize: sessions.Authorize}, sessions.Register)
	return b
}

// gauge is the sum of a gauge's values.
func (b *bundle) gauge(name string) (sum float64) {
	b.t.Helper()
	families, err := b.metrics.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, metric := range family.GetMetric() {
			sum += metric.GetGauge().GetValue()
		}
	}
	return sum
}

// token registers a cluster and returns a join token for it.
func (b *bundle) token(name string, rejoin bool) string {
	b.t.Helper()
	id := uuid.NewString()
	token, hash := identity.NewJoinToken(id, b.root.Authority().Pin())
	o := &resource.Object{APIVersion: resource.Cluster.APIVersion, Kind: "Cluster"}
	o.Metadata.Name = name
	if _, _, err := b.RegisterCluster(b.t.Context(), admin, o, fleet.JoinToken{ID: id, SecretHash: hash, TTL: time.Hour}, rejoin, false); err != nil {
		b.t.Fatal(err)
	}
	return token
}

// spoke is a client with an identity, or without one yet.
type spoke struct {
	spokev1.SpokeServiceClient
	t       *testing.T
	key     crypto.Signer
	cert    *tls.Certificate
	cluster string
	name    string
	// sequence of the last report.
	sequence uint64
}

func (b *bundle) dial(cert *tls.Certificate) spokev1.SpokeServiceClient {
	config := identity.PinnedClientTLS(b.root.Authority().Pin(), func() (*tls.Certificate, error) { return cert, nil })
	return spokev1.NewSpokeServiceClient(b.server.Dial(b.t, rpc.DialConfig{TLS: config, UserAgent: "test"}))
}

func newKey(t *testing.T) (crypto.Signer, []byte) {
	t.Helper()
	key, err := identity.NewClientKey()
	if err != nil {
		t.Fatal(err)
	}
	request, err := identity.NewRequest(key)
	if err != nil {
		t.Fatal(err)
	}
	return key, request
}

func (b *bundle) enrol(name string) *spoke {
	b.t.Helper()
	key, request := newKey(b.t)
	resp, err := b.dial(nil).Enroll(b.t.Context(), &spokev1.EnrollRequest{Token: b.token(name, false), CertificateRequest: request})
	if err != nil {
		b.t.Fatal(err)
	}
	return b.as(key, resp.GetCredentials().GetCertificate(), resp.GetClusterId(), name)
}

func (b *bundle) as(key crypto.Signer, certificate []byte, cluster, name string) *spoke {
	cert := &tls.Certificate{Certificate: [][]byte{certificate}, PrivateKey: key}
	return &spoke{SpokeServiceClient: b.dial(cert), t: b.t, key: key, cert: cert, cluster: cluster, name: name}
}

// stream is an open session, with the state that a spoke would hold.
type stream struct {
	spokev1.SpokeService_ConnectClient
	t       *testing.T
	welcome *spokev1.Welcome
	cancel  context.CancelFunc
}

func (s *spoke) connect(held *spokev1.StateID) *stream {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	s.t.Cleanup(cancel)
	client, err := s.Connect(ctx, &spokev1.ConnectRequest{Protocol: 1, ProtocolMin: 1, ClusterName: s.name, State: held})
	if err != nil {
		s.t.Fatal(err)
	}
	message, err := client.Recv()
	if err != nil {
		s.t.Fatal(err)
	}
	return &stream{SpokeService_ConnectClient: client, t: s.t, welcome: message.GetWelcome(), cancel: cancel}
}

// end reads the stream to its end, and returns why it ended.
func (s *stream) end() error {
	for {
		if _, err := s.Recv(); err != nil {
			return err
		}
	}
}

// desired is the next state that is sent.
func (s *stream) desired() *spokev1.Desired {
	s.t.Helper()
	for {
		message, err := s.Recv()
		if err != nil {
			s.t.Fatal(err)
		}
		if d := message.GetDesired(); d != nil {
			return d
		}
	}
}

// release declares the App with objects and rolls it out.
func (b *bundle) release(objects ...string) fleet.Release {
	b.t.Helper()
	ctx := b.t.Context()
	for _, text := range []string{
		`{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":"GitRepository","metadata":{"name":"app","namespace":"apps"},"spec":{"interval":"1m","url":"http://git.example.com/app"}}`,
		`{"apiVersion":"kustomize.toolkit.fluxcd.io/v1","kind":"Kustomization","metadata":{"name":"app","namespace":"apps"},"spec":{"interval":"10m","prune":true,"sourceRef":{"kind":"GitRepository","name":"app"}}}`,
		`{"apiVersion":"fleet.flotilla.dev/v1alpha1","kind":"Placement","metadata":{"name":"app","namespace":"apps"},"spec":{"apps":[{"kind":"Kustomization","name":"app"}],"clusters":{"selector":{}}}}`,
	} {
		o, err := resource.Decode([]byte(text))
		if err != nil {
			b.t.Fatal(err)
		}
		if _, _, _, err := b.ApplyObject(ctx, admin, o, fleet.Order{}); err != nil {
			b.t.Fatal(err)
		}
	}
	documents := make([][]byte, len(objects))
	for i, value := range objects {
		documents[i] = fmt.Appendf(nil, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c%d","namespace":"default"},"data":{"v":%q}}`, i, value)
	}
	built, blobs, err := manifest.New(documents, manifest.Options{})
	if err != nil {
		b.t.Fatal(err)
	}
	var parts []fleet.Digest
	for digest := range blobs {
		parts = append(parts, digest)
	}
	if err := b.Blobs().Put(ctx, blobs); err != nil {
		b.t.Fatal(err)
	}
	if err := b.Blobs().PutWhole(ctx, built.Encode(), parts); err != nil {
		b.t.Fatal(err)
	}
	release := fleet.Release{App: appKey, Manifest: built.Digest(), Prune: true}
	if _, err := b.Released(ctx, 1, "main@sha1:1", release); err != nil {
		b.t.Fatal(err)
	}
	b.roll()
	return release
}

func (b *bundle) roll() {
	b.t.Helper()
	if _, err := b.Roll(b.t.Context(), appKey, rollout.Next); err != nil {
		b.t.Fatal(err)
	}
}

func wantCode(t *testing.T, err error, want codes.Code) {
	t.Helper()
	if got := status.Code(err); got != want {
		t.Errorf("error %v, not %s", err, want)
	}
}
