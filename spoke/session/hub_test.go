package session

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/identity"
	"flotilla.dev/flotilla/pkg/rpc"
	"flotilla.dev/flotilla/pkg/rpc/rpctest"
	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
)

const trustDomain = "test"

// hub is a hub of one cluster: the real protocol over real TLS, in memory.
type hub struct {
	spokev1.UnimplementedSpokeServiceServer
	*author
	root   identity.Root
	server *rpctest.Server
	ttl    time.Duration
	// token is the join token that is valid; a mute hub sends no heartbeats.
	token string
	mute  bool

	hellos  chan *spokev1.ConnectRequest
	down    chan *spokev1.ConnectResponse // what goes down the open stream
	reports chan *spokev1.ReportRequest
	answers chan *spokev1.AnswerRequest // put together
	renewed chan struct{}

	mu       sync.Mutex
	sessions uint64
	redeemed fleet.Digest // of the key
	enrols   int
	// serial is that of the certificate in use, next the newest one's that was not used yet: the two that are taken.
	// certified is when the newest that the database knows of was issued: what is newer than that is taken too.
	serial, next string
	certified    time.Time
	// the next calls of a kind fail with these, Enroll and Renew when they have done their work.
	failEnrol, failRenew, failConnect, failReport []error
	// welcome is what a session begins with; its Session is filled in.
	welcome *spokev1.Welcome
	fetch   func(*spokev1.FetchRequest) []*spokev1.FetchResponse
}

func newHub(t *testing.T) *hub {
	t.Helper()
	root, err := identity.CreateKey(filepath.Join(t.TempDir(), "hub.key"))
	if err != nil {
		t.Fatal(err)
	}
	h := &hub{
		author: &author{key: root.StateKey(), cluster: uuid.New(), signed: map[fleet.StateID]fleet.Desired{}},
		root:   root, ttl: 24 * time.Hour,
		hellos: make(chan *spokev1.ConnectRequest, 100), down: make(chan *spokev1.ConnectResponse, 100),
		reports: make(chan *spokev1.ReportRequest, 1000), answers: make(chan *spokev1.AnswerRequest, 10), renewed: make(chan struct{}, 100),
		welcome: &spokev1.Welcome{Protocol: 1, HeartbeatPeriod: durationpb.New(15 * time.Second)},
	}
	h.token, _ = identity.NewJoinToken("t1", root.Authority().Pin())
	h.server = rpctest.Serve(t, rpc.ServerConfig{TLS: root.Authority().ServerTLS(nil), Log: slog.New(slog.DiscardHandler)},
		func(server *grpc.Server) { spokev1.RegisterSpokeServiceServer(server, h) })
	return h
}

// newToken makes a join token in place of the one before, as `fleetctl cluster register --rejoin` does.
func (h *hub) newToken(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.redeemed = fleet.Digest{}
	h.token, _ = identity.NewJoinToken(id, h.root.Authority().Pin())
}

// fail has the next calls of a kind fail.
func (h *hub) fail(kind *[]error, errs ...error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	*kind = append(*kind, errs...)
}

func (h *hub) failure(kind *[]error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(*kind) == 0 {
		return nil
	}
	err := (*kind)[0]
	*kind = (*kind)[1:]
	return err
}

func (h *hub) Enroll(_ context.Context, request *spokev1.EnrollRequest) (*spokev1.EnrollResponse, error) {
	key, err := identity.KeyHash(request.GetCertificateRequest())
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	h.enrols++
	if request.GetToken() != h.token || !h.redeemed.IsZero() && h.redeemed != key {
		h.mu.Unlock()
		return nil, fmt.Errorf("%w: the token is unknown, used or expired", fleet.ErrDenied)
	}
	h.redeemed = key
	h.mu.Unlock()
	if err := h.failure(&h.failEnrol); err != nil {
		return nil, err
	}
	credentials, err := h.issue(request.GetCertificateRequest(), true)
	return &spokev1.EnrollResponse{ClusterId: h.cluster.String(), ClusterName: "prod-1", Credentials: credentials}, err
}

func (h *hub) Renew(ctx context.Context, request *spokev1.RenewRequest) (*spokev1.RenewResponse, error) {
	if _, err := h.caller(ctx, true); err != nil {
		return nil, err
	}
	credentials, err := h.issue(request.GetCertificateRequest(), false)
	h.renewed <- struct{}{}
	if lost := h.failure(&h.failRenew); lost != nil {
		err = lost
	}
	return &spokev1.RenewResponse{Credentials: credentials}, err
}

// issue records a certificate as hub/store does.
func (h *hub) issue(request []byte, enrolled bool) (*spokev1.Credentials, error) {
	issued, err := h.root.Authority().IssueClient(request, h.cluster, trustDomain, h.ttl, time.Now())
	h.mu.Lock()
	defer h.mu.Unlock()
	h.certified = issued.NotBefore
	h.next = issued.Serial
	if enrolled {
		h.serial, h.next = issued.Serial, ""
	}
	return &spokev1.Credentials{
		Certificate: issued.DER,
		SigningKeys: []*spokev1.SigningKey{{Id: h.key.ID, PublicKey: h.key.Public}},
	}, err
}

// caller is the cluster that calls; a certificate that has run out is good for Renew alone, and for 30 days.
func (h *hub) caller(ctx context.Context, renewing bool) (uuid.UUID, error) {
	cert, err := rpc.PeerCertificate(ctx)
	if err != nil {
		return uuid.UUID{}, err
	}
	if late := time.Since(cert.NotAfter); late > 30*24*time.Hour {
		return uuid.UUID{}, fmt.Errorf("%w: the certificate ran out too long ago", fleet.ErrDenied)
	} else if late > 0 && !renewing {
		return uuid.UUID{}, fmt.Errorf("%w: the certificate ran out: renew it", fleet.ErrUnauthenticated)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch serial := identity.Serial(cert); {
	case serial == h.serial:
	case serial == h.next, cert.NotBefore.After(h.certified):
		h.serial, h.next, h.certified = serial, "", cert.NotBefore
	default:
		return uuid.UUID{}, fmt.Errorf("%w: the certificate was replaced by a newer one", fleet.ErrDenied)
	}
	return identity.ParseClusterID(cert, trustDomain)
}

func (h *hub) Connect(request *spokev1.ConnectRequest, stream spokev1.SpokeService_ConnectServer) error {
	caller, err := h.caller(stream.Context(), false)
	if err != nil {
		return err
	}
	if caller != h.cluster {
		return fmt.Errorf("%w: cluster %s", fleet.ErrDenied, caller)
	}
	h.hellos <- request
	if err := h.failure(&h.failConnect); err != nil {
		return err
	}
	h.mu.Lock()
	h.sessions++
	welcome := &spokev1.Welcome{
		Session: h.sessions, Protocol: h.welcome.GetProtocol(), HeartbeatPeriod: h.welcome.GetHeartbeatPeriod(),
		SafeMode: h.welcome.GetSafeMode(), Unchanged: h.welcome.GetUnchanged(),
	}
	h.mu.Unlock()
	if err := stream.Send(&spokev1.ConnectResponse{Message: &spokev1.ConnectResponse_Welcome{Welcome: welcome}}); err != nil {
		return err
	}
	beat := time.NewTicker(welcome.GetHeartbeatPeriod().AsDuration())
	defer beat.Stop()
	if h.mute {
		beat.Stop()
	}
	for {
		select {
		case <-stream.Context().Done():
			return stream.Context().Err()
		case <-beat.C:
			if err := stream.Send(heartbeat()); err != nil {
				return err
			}
		case message := <-h.down:
			if message == nil {
				return io.ErrUnexpectedEOF // the test ends the session
			}
			if err := stream.Send(message); err != nil {
				return err
			}
		}
	}
}

func heartbeat() *spokev1.ConnectResponse {
	return &spokev1.ConnectResponse{Message: &spokev1.ConnectResponse_Heartbeat{Heartbeat: &spokev1.Heartbeat{}}}
}

// send sends a state down the stream.
func (h *hub) send(messages []*spokev1.Desired) {
	for _, message := range messages {
		h.down <- &spokev1.ConnectResponse{Message: &spokev1.ConnectResponse_Desired{Desired: message}}
	}
}

func (h *hub) Report(ctx context.Context, request *spokev1.ReportRequest) (*spokev1.ReportResponse, error) {
	if _, err := h.caller(ctx, false); err != nil {
		return nil, err
	}
	select {
	case h.reports <- request:
	case <-ctx.Done():
	}
	return &spokev1.ReportResponse{}, h.failure(&h.failReport)
}

func (h *hub) Answer(stream spokev1.SpokeService_AnswerServer) error {
	answer := &spokev1.AnswerRequest{}
	for {
		message, err := stream.Recv()
		if err == io.EOF {
			h.answers <- answer
			return stream.SendAndClose(&spokev1.AnswerResponse{})
		}
		if err != nil {
			return err
		}
		answer.QuestionId += message.GetQuestionId()
		answer.Chunk = append(answer.Chunk, message.GetChunk()...)
		answer.Error += message.GetError()
	}
}

func (h *hub) Fetch(request *spokev1.FetchRequest, stream spokev1.SpokeService_FetchServer) error {
	for _, message := range h.fetch(request) {
		if err := stream.Send(message); err != nil {
			return err
		}
	}
	return nil
}

// spoke is a Client with what it stands on, which outlives it.
type spoke struct {
	*Client
	store    *memoryStore
	records  memoryRecords
	accepted chan State
	unknown  []fleet.Key
	held     map[fleet.Key][]fleet.ObjectRef
	asked    func(fleet.Ask) (any, error)
	log      *safeBuffer
	token    string
	// at is who answers at the hub's address.
	at   atomic.Pointer[hub]
	stop func() error
	done chan error
}

func newSpoke(token string) *spoke {
	return &spoke{store: &memoryStore{}, records: memoryRecords{}, token: token, log: &safeBuffer{}}
}

// start runs a Client; start again after stop is a restart.
func (s *spoke) start(t *testing.T, h *hub) {
	t.Helper()
	s.accepted = make(chan State, 100)
	s.at.Store(h)
	client, err := New(Config{
		Store: s.store, Records: s.records, Log: slog.New(slog.NewTextHandler(s.log, nil)),
		Accept: func(state State) {
			if mine, err := s.store.Load(t.Context()); err == nil && !s.store.isStuck() && mine.Mark.Compare(state.ID) < 0 {
				t.Errorf("%s is acted on, and %s is what a loss of the volume leaves", state.ID, mine.Mark)
			}
			s.accepted <- state
		},
		Facts:   func(context.Context) fleet.ClusterFacts { return fleet.ClusterFacts{KubeSystemUID: "uid"} },
		Unknown: func() []fleet.Key { return s.unknown },
		Answer: func(_ context.Context, ask fleet.Ask) (any, error) {
			if s.asked != nil {
				return s.asked(ask)
			}
			if refs := s.held[ask.App]; refs != nil {
				return refs, nil
			}
			return []fleet.ObjectRef{}, nil
		},
		Hub: rpctest.Address, Token: s.token,
		Dialer: func(ctx context.Context, address string) (net.Conn, error) {
			return s.at.Load().server.Dialer(ctx, address)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Client = client
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	s.done = done
	go func() { done <- client.Run(ctx) }()
	s.stop = func() error {
		cancel()
		err := <-done
		done <- err // for the next who asks
		return err
	}
	t.Cleanup(func() {
		cancel()
		<-done
	})
}

// memoryStore is a Store as the API server is one.
type memoryStore struct {
	mu       sync.Mutex
	identity Identity
	err      error
	// stuck has writes wait until their context ends; mute has them take effect and not say so.
	stuck, mute bool
}

// set changes how it behaves.
func (m *memoryStore) set(change func(*memoryStore)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(m)
}

func (m *memoryStore) isStuck() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stuck
}

func (m *memoryStore) Load(context.Context) (Identity, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.identity, m.err
}

func (m *memoryStore) Update(ctx context.Context, change func(*Identity)) (Identity, error) {
	if m.isStuck() {
		<-ctx.Done()
		return Identity{}, ctx.Err()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return Identity{}, m.err
	}
	change(&m.identity)
	if m.mute {
		return Identity{}, errLostAnswer
	}
	return m.identity, nil
}

// memoryRecords are Records on a disk that does what it should.
type memoryRecords map[string][]byte

func (m memoryRecords) Load(name string, into any) bool {
	return m[name] != nil && json.Unmarshal(m[name], into) == nil
}

func (m memoryRecords) Save(name string, value any) bool {
	m[name], _ = json.Marshal(value)
	return true
}

func (m memoryRecords) Append(name string, entry any, anew bool) bool {
	if anew {
		delete(m, name)
	}
	content, _ := json.Marshal(entry)
	m[name] = append(m[name], append(content, '\n')...)
	return true
}

func (m memoryRecords) Entries(name string) (entries [][]byte) {
	for line := range bytes.Lines(m[name]) {
		entries = append(entries, line)
	}
	return entries
}

type safeBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
