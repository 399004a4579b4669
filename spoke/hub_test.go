package spoke_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/identity"
	"flotilla.dev/flotilla/pkg/manifest"
	"flotilla.dev/flotilla/pkg/rpc"
	"flotilla.dev/flotilla/pkg/rpc/rpctest"
	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
)

// hub is a hub of one cluster: the real protocol over real TLS, in memory. It sends the full state whenever it changes.
type hub struct {
	spokev1.UnimplementedSpokeServiceServer
	root    identity.Root
	cluster uuid.UUID
	server  *rpctest.Server
	token   string
	changed chan struct{}

	mu        sync.Mutex
	state     fleet.StateID
	items     fleet.Desired
	manifests map[fleet.Digest]*manifest.Manifest
	blobs     manifest.Blobs
	reports   map[string]*spokev1.AssignmentReport
	events    []*spokev1.Event
	unknown   []string
	hellos    int
	fetches   int
	away      bool
}

func newHub(t *testing.T) *hub {
	t.Helper()
	root, err := identity.CreateKey(filepath.Join(t.TempDir(), "hub.key"))
	if err != nil {
		t.Fatal(err)
	}
	h := &hub{
		root: root, cluster: uuid.New(), changed: make(chan struct{}, 1), items: fleet.Desired{},
		manifests: map[fleet.Digest]*manifest.Manifest{}, blobs: manifest.Blobs{}, reports: map[string]*spokev1.AssignmentReport{},
		state: fleet.StateID{Epoch: 1, Version: 1, Digest: fleet.DesiredDigest(nil)},
	}
	h.token, _ = identity.NewJoinToken("t1", root.Authority().Pin())
	h.server = rpctest.Serve(t, rpc.ServerConfig{TLS: root.Authority().ServerTLS(nil), Log: slog.New(slog.DiscardHandler)},
		func(server *grpc.Server) { spokev1.RegisterSpokeServiceServer(server, h) })
	return h
}

// assign makes the next state; the documents are the App's objects.
func (h *hub) assign(t *testing.T, a fleet.Assignment, documents ...string) {
	t.Helper()
	if len(documents) > 0 {
		raw := make([][]byte, len(documents))
		for i, document := range documents {
			raw[i] = []byte(document)
		}
		m, blobs, err := manifest.New(raw, manifest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		h.mu.Lock()
		h.manifests[m.Digest()] = m
		for digest, content := range blobs {
			h.blobs[digest] = content
		}
		h.mu.Unlock()
		a.Release.Manifest = m.Digest()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.items[a.App.String()] = a.Encode()
	h.state.Version++
	h.state.Digest = fleet.DesiredDigest(h.items.Digests())
	select {
	case h.changed <- struct{}{}:
	default:
	}
}

func (h *hub) Enroll(_ context.Context, request *spokev1.EnrollRequest) (*spokev1.EnrollResponse, error) {
	if request.GetToken() != h.token || request.GetKubeSystemUid() == "" {
		return nil, fleet.ErrDenied
	}
	issued, err := h.root.Authority().IssueClient(request.GetCertificateRequest(), h.cluster, "test", time.Hour, time.Now())
	if err != nil {
		return nil, err
	}
	key := h.root.StateKey()
	return &spokev1.EnrollResponse{ClusterId: h.cluster.String(), ClusterName: "prod-1", Credentials: &spokev1.Credentials{
		Certificate: issued.DER,
		SigningKeys: []*spokev1.SigningKey{{Id: key.ID, PublicKey: key.Public}},
	}}, nil
}

func (h *hub) Connect(request *spokev1.ConnectRequest, stream spokev1.SpokeService_ConnectServer) error {
	h.mu.Lock()
	h.hellos++
	away := h.away
	h.mu.Unlock()
	if away || request.GetFacts().GetKubernetesVersion() == "" {
		return fleet.ErrConflict
	}
	welcome := &spokev1.Welcome{Session: 1, Protocol: 1, HeartbeatPeriod: durationpb.New(15 * time.Second)}
	if err := stream.Send(&spokev1.ConnectResponse{Message: &spokev1.ConnectResponse_Welcome{Welcome: welcome}}); err != nil {
		return err
	}
	for {
		if err := stream.Send(&spokev1.ConnectResponse{Message: &spokev1.ConnectResponse_Desired{Desired: h.desired()}}); err != nil {
			return err
		}
		select {
		case <-h.changed:
		case <-stream.Context().Done():
			return nil
		}
	}
}

func (h *hub) desired() *spokev1.Desired {
	h.mu.Lock()
	defer h.mu.Unlock()
	key, now := h.root.StateKey(), time.Now()
	message := &spokev1.Desired{
		Result: &spokev1.StateID{Epoch: h.state.Epoch, Version: h.state.Version, Digest: h.state.Digest.Bytes()}, Parts: 1,
		Signature: &spokev1.Signature{KeyId: key.ID, SignedAt: timestamppb.New(now), Value: identity.SignState(key, 1, h.cluster, h.state, now)},
	}
	for key, encoded := range h.items {
		message.Items = append(message.Items, &spokev1.Item{Key: key, Assignment: encoded})
	}
	return message
}

func (h *hub) Report(_ context.Context, request *spokev1.ReportRequest) (*spokev1.ReportResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, report := range request.GetReports() {
		h.reports[report.GetKey()] = report
	}
	h.events, h.unknown = append(h.events, request.GetEvents()...), request.GetUnknownAssignments()
	return &spokev1.ReportResponse{}, nil
}

func (h *hub) Fetch(request *spokev1.FetchRequest, stream spokev1.SpokeService_FetchServer) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	a, err := fleet.DecodeAssignment(h.items[request.GetKey()])
	if err != nil {
		return err
	}
	base, err := fleet.DigestFromBytes(request.GetBaseManifest())
	if err != nil {
		return err
	}
	pack, err := manifest.Pack(h.manifests[base], h.manifests[a.Release.Manifest], func(digest fleet.Digest) ([]byte, error) {
		return h.blobs[digest], nil
	})
	if err != nil {
		return err
	}
	header := &spokev1.FetchHeader{BaseManifest: base.Bytes(), Size: uint64(len(pack))}
	if err := stream.Send(&spokev1.FetchResponse{Message: &spokev1.FetchResponse_Header{Header: header}}); err != nil {
		return err
	}
	h.fetches++
	return stream.Send(&spokev1.FetchResponse{Message: &spokev1.FetchResponse_Chunk{Chunk: pack}})
}

// release is what an App was assigned last.
func (h *hub) release(t *testing.T, app fleet.Key) fleet.Release {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	a, err := fleet.DecodeAssignment(h.items[app.String()])
	if err != nil {
		t.Fatal(err)
	}
	return a.Release
}

// report is the last one of an App.
func (h *hub) report(app fleet.Key) *spokev1.AssignmentReport {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.reports[app.String()]
}

func (h *hub) setAway(away bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.away = away
}
