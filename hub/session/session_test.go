package session_test

import (
	"context"
	"crypto"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
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
	url    string
}

func newBundle(t *testing.T) *bundle {
	t.Helper()
	root, err := identity.CreateKey(t.TempDir() + "/hub.key")
	if err != nil {
		t.Fatal(err)
	}
	return newBundleOf(t, root)
}

// newBundleOf is a hub with a given key on an empty database.
func newBundleOf(t *testing.T, root identity.Root) *bundle {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	b := &bundle{t: t, root: root, url: lab.TestDatabase(t)}
	var err error
	b.Store, err = store.Open(t.Context(), store.Config{URL: b.url, Sealer: root, KeyFingerprint: root.Fingerprint(), Log: log, MaxConnections: 6})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	sessions := session.New(session.Config{
		Store: b.Store, Blobs: b.Blobs(), Authority: root.Authority(), StateKey: root.StateKey(), TrustDomain: identity.DefaultTrustDomain, Log: log,
		Watch: func(cluster string) (run.Wake, func()) { return b.Watch(store.TopicCluster(cluster)) },
	})
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
		Authorize: sessions.Authorize}, sessions.Register)
	return b
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
	built, blobs, err := manifest.New(documents)
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

// fetch returns the pack, or nil when the request was superseded.
func (s *spoke) fetch(generation uint64, base fleet.Digest) (header *spokev1.FetchHeader, pack []byte, err error) {
	client, err := s.Fetch(s.t.Context(), &spokev1.FetchRequest{Key: appKey.String(), Generation: generation, BaseManifest: base.Bytes()})
	if err != nil {
		return nil, nil, err
	}
	for {
		message, err := client.Recv()
		if errors.Is(err, io.EOF) {
			return header, pack, nil
		}
		if err != nil {
			return nil, nil, err
		}
		if h := message.GetHeader(); h != nil {
			header = h
		}
		pack = append(pack, message.GetChunk()...)
	}
}

func wantCode(t *testing.T, err error, want codes.Code) {
	t.Helper()
	if got := status.Code(err); got != want {
		t.Errorf("error %v, not %s", err, want)
	}
}

func TestTokenIsGoodForOneKeyAsOftenAsItAsks(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	token := b.token("prod-1", false)
	_, request := newKey(t)
	var ids []string
	for range 2 {
		resp, err := b.dial(nil).Enroll(t.Context(), &spokev1.EnrollRequest{Token: token, CertificateRequest: request})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, resp.GetClusterId())
	}
	if ids[0] != ids[1] {
		t.Errorf("two identities: %v", ids)
	}
	_, other := newKey(t)
	_, err := b.dial(nil).Enroll(t.Context(), &spokev1.EnrollRequest{Token: token, CertificateRequest: other})
	wantCode(t, err, codes.PermissionDenied)
}

func TestCallsWithoutTheRightCertificateAreDenied(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	s := b.enrol("prod-1")
	otherRoot, err := identity.CreateKey(t.TempDir() + "/other.key")
	if err != nil {
		t.Fatal(err)
	}
	key, request := newKey(t)
	foreign, err := otherRoot.Authority().IssueClient(request, uuid.New(), identity.DefaultTrustDomain, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.dial(nil).Report(t.Context(), &spokev1.ReportRequest{})
	wantCode(t, err, codes.PermissionDenied)
	_, err = b.as(key, foreign.DER, "", "x").Report(t.Context(), &spokev1.ReportRequest{})
	wantCode(t, err, codes.Unavailable) // the handshake fails
	elsewhere, err := b.root.Authority().IssueClient(request, uuid.New(), "elsewhere.example", time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.as(key, elsewhere.DER, "", "x").Report(t.Context(), &spokev1.ReportRequest{})
	wantCode(t, err, codes.PermissionDenied)
	if _, err := b.DeleteObject(t.Context(), admin, resource.Deletion{Kind: "Cluster", Name: "prod-1", Now: true}); err != nil {
		t.Fatal(err)
	}
	_, err = s.Report(t.Context(), &spokev1.ReportRequest{Session: 1, Sequence: 1})
	wantCode(t, err, codes.PermissionDenied) // revoked
}

func TestRenewedCertificateReplacesTheOldAtItsFirstUse(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	old := b.enrol("prod-1")
	key, request := newKey(t)
	resp, err := old.Renew(t.Context(), &spokev1.RenewRequest{CertificateRequest: request})
	if err != nil {
		t.Fatal(err)
	}
	number := old.connect(nil).welcome.GetSession() // both are good until then
	next := b.as(key, resp.GetCredentials().GetCertificate(), old.cluster, old.name)
	if got := next.connect(nil).welcome.GetSession(); got <= number {
		t.Errorf("session %d after %d", got, number)
	}
	_, err = old.Report(t.Context(), &spokev1.ReportRequest{Session: number, Sequence: 1})
	wantCode(t, err, codes.PermissionDenied)
}

func TestStateComesInFullThenAsDeltasAndIsSigned(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	s := b.enrol("prod-1")
	b.release("one")
	session := s.connect(nil)
	full := session.desired()
	if full.GetBase() != nil || len(full.GetItems()) != 1 {
		t.Fatalf("first state %v", full)
	}
	b.release("two")
	delta := session.desired()
	if delta.GetBase().GetVersion() != full.GetResult().GetVersion() || len(delta.GetItems()) != 1 {
		t.Errorf("second state %v", delta)
	}
	digest, err := fleet.DigestFromBytes(delta.GetResult().GetDigest())
	if err != nil {
		t.Fatal(err)
	}
	if want := fleet.DesiredDigest(map[string]fleet.Digest{appKey.String(): fleet.DigestOf(delta.GetItems()[0].GetAssignment())}); digest != want {
		t.Errorf("digest %s, want %s", digest, want)
	}
	id := fleet.StateID{Epoch: delta.GetResult().GetEpoch(), Version: delta.GetResult().GetVersion(), Digest: digest}
	signature := delta.GetSignature()
	if err := identity.VerifyState([]identity.StatePublicKey{b.root.StateKey().StatePublicKey}, signature.GetKeyId(), session.welcome.GetProtocol(),
		uuid.MustParse(s.cluster), id, signature.GetSignedAt().AsTime(), signature.GetValue()); err != nil {
		t.Error(err)
	}
}

func TestUnchangedReconnectCostsAWelcome(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	s := b.enrol("prod-1")
	b.release("one")
	state := s.connect(nil).desired().GetResult()
	again := s.connect(state)
	if !again.welcome.GetUnchanged() {
		t.Fatal("not unchanged")
	}
	b.release("two")
	if got := again.desired(); got.GetBase().GetVersion() != state.GetVersion() {
		t.Errorf("not a delta on what the spoke held: %v", got)
	}
}

func TestOlderSessionIsEndedByANewer(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	s := b.enrol("prod-1")
	old := s.connect(nil)
	s.connect(nil)
	for {
		if _, err := old.Recv(); err != nil {
			wantCode(t, err, codes.Aborted)
			break
		}
	}
	_, err := s.Report(t.Context(), &spokev1.ReportRequest{Session: old.welcome.GetSession(), Sequence: 1})
	wantCode(t, err, codes.FailedPrecondition)
}

func TestFetchGivesAPackAgainstWhatTheClusterWasGiven(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	s := b.enrol("prod-1")
	one := b.release("a", "b", "c")
	session := s.connect(nil)
	first := decode(t, session.desired())
	header, pack, err := s.fetch(first.Generation, fleet.Digest{})
	if err != nil {
		t.Fatal(err)
	}
	if len(header.GetBaseManifest()) != 0 {
		t.Errorf("base %x for a spoke that holds nothing", header.GetBaseManifest())
	}
	held, blobs, err := manifest.Unpack(pack, nil, one.Manifest)
	if err != nil || len(blobs) != 3 {
		t.Fatalf("%d blobs, error %v", len(blobs), err)
	}
	two := b.release("a", "b", "changed")
	second := decode(t, session.desired())
	_, pack, err = s.fetch(second.Generation, one.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	if _, blobs, err = manifest.Unpack(pack, held, two.Manifest); err != nil || len(blobs) != 1 {
		t.Errorf("%d blobs for one changed object, error %v", len(blobs), err)
	}
	header, _, err = s.fetch(second.Generation, fleet.DigestOf([]byte("guess")))
	if err != nil || len(header.GetBaseManifest()) != 0 {
		t.Errorf("base %x for one that was never given, error %v", header.GetBaseManifest(), err)
	}
	if header, _, err = s.fetch(first.Generation, fleet.Digest{}); err != nil || header != nil {
		t.Errorf("an overtaken generation is answered with header %v, error %v", header, err)
	}
	_, _, err = s.fetch(second.Generation+100, fleet.Digest{})
	wantCode(t, err, codes.NotFound)
	stranger := b.enrol("prod-2")
	_, _, err = stranger.fetch(second.Generation, fleet.Digest{})
	wantCode(t, err, codes.NotFound)
}

func decode(t *testing.T, d *spokev1.Desired) fleet.Assignment {
	t.Helper()
	a, err := fleet.DecodeAssignment(d.GetItems()[0].GetAssignment())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestSpokeOfAnEmptiedDatabaseIsTakenInAgainInSafeMode(t *testing.T) {
	t.Parallel()
	before := newBundle(t)
	s := before.enrol("prod-1")
	before.release("one")
	held := s.connect(nil).desired().GetResult()

	after := newBundleOf(t, before.root)
	again := after.as(s.key, s.cert.Certificate[0], s.cluster, s.name)
	session := again.connect(held)
	if !session.welcome.GetSafeMode() || session.welcome.GetUnchanged() {
		t.Fatalf("welcome %v", session.welcome)
	}
	statuses, err := after.ClusterStatuses(t.Context())
	if err != nil || statuses["prod-1"].ID != s.cluster || statuses["prod-1"].SafeMode == "" {
		t.Fatalf("clusters %+v, error %v", statuses, err)
	}
	if _, err := after.EndRecovery(t.Context(), admin, false); err != nil {
		t.Fatal(err)
	}
	if got := session.desired(); got.GetResult().GetEpoch() != held.GetEpoch()+1 {
		t.Errorf("after recovery: %v", got)
	}
}

func TestAnswerReachesTheOneWhoAsked(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	s := b.enrol("prod-1")
	session := s.connect(nil)
	question, err := b.Ask(t.Context(), s.cluster, appKey, 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var asked *spokev1.Question
	for asked == nil {
		message, err := session.Recv()
		if err != nil {
			t.Fatal(err)
		}
		asked = message.GetQuestion()
	}
	if asked.GetId() != question.ID || asked.GetHeldPrune().GetKey() != appKey.String() {
		t.Fatalf("question %v", asked)
	}
	stranger := b.enrol("prod-2")
	for _, from := range []*spoke{stranger, s} {
		answer, err := from.Answer(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, chunk := range []string{"one", "two"} {
			if err := answer.Send(&spokev1.AnswerRequest{QuestionId: asked.GetId(), Chunk: []byte(chunk)}); err != nil {
				t.Fatal(err)
			}
		}
		_, err = answer.CloseAndRecv()
		if from == stranger {
			wantCode(t, err, codes.NotFound)
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if got, err := b.Store.Answer(t.Context(), question); err != nil || string(got) != "onetwo" {
		t.Errorf("answer %q, error %v", got, err)
	}
}
