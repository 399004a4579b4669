package session

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
	"google.golang.org/grpc"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/identity"
	"flotilla.dev/flotilla/pkg/run"
	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
)

// Store is what the sessions need of the store.
type Store interface {
	RedeemToken(ctx context.Context, id string, secretHash, keyHash fleet.Digest, kubeSystemUID string,
		issue func(cluster string) (fleet.Certificate, error)) (cluster, name string, err error)
	IssuedCertificate(ctx context.Context, cluster string, certificate fleet.Certificate) error
	Admit(ctx context.Context, cluster string, certificate fleet.Certificate) error
	AdoptCluster(ctx context.Context, cluster, name string) error

	OpenSession(ctx context.Context, cluster string, held fleet.StateID, facts fleet.ClusterFacts) (fleet.Session, error)
	CloseSession(ctx context.Context, session fleet.Session) error
	DisconnectSilent(ctx context.Context, unheard time.Duration) error
	DesiredState(ctx context.Context, session fleet.Session, held fleet.StateID) (desired fleet.Desired, id fleet.StateID, safeMode string, err error)
	StoreReports(ctx context.Context, cluster string, batch fleet.ReportBatch) error

	FetchableManifest(ctx context.Context, cluster string, app fleet.Key, epoch, generation uint64) (manifest fleet.Digest, superseded bool, held []fleet.Digest, err error)
	TakeQuestions(ctx context.Context, cluster string) ([]fleet.Question, error)
	StoreAnswer(ctx context.Context, cluster, id string, answer []byte, problem string) error
}

// Blobs is where Manifests and objects are.
type Blobs interface {
	Get(ctx context.Context, digest fleet.Digest) ([]byte, error)
	GetAll(ctx context.Context, digests []fleet.Digest) (map[fleet.Digest][]byte, error)
}

// Config is what a Server needs.
type Config struct {
	Store Store
	Blobs Blobs
	// Watch returns a wake-up for what concerns a cluster.
	Watch func(cluster string) (wake run.Wake, stop func())
	// Authority issues certificates; StateKey signs desired state; TrustDomain is that of the clusters' names.
	Authority   *identity.Authority
	StateKey    identity.StateKey
	TrustDomain string
	Log         *slog.Logger
	Metrics     prometheus.Registerer
	// CertificateTTL of a spoke, default 24 h, and for how long after that it may still be renewed, default 30 days; in
	// all at most fleet.RevokedFor.
	CertificateTTL time.Duration
	MaxOffline     time.Duration
	// Heartbeat period; default 15 s. A cluster unheard of for three is disconnected.
	Heartbeat time.Duration
	// ConnectRate bounds the sessions opened a second; default 200.
	ConnectRate float64
}

// Protocol is the version of the spoke protocol that this hub speaks.
const Protocol = 1

// Server serves the spokes.
type Server struct {
	spokev1.UnimplementedSpokeServiceServer
	Config
	metrics  *metrics
	packs    *packs
	admit    *rate.Limiter
	stopping chan struct{}
}

// New returns a Server.
func New(config Config) *Server {
	config.CertificateTTL = cmp.Or(config.CertificateTTL, 24*time.Hour)
	config.MaxOffline = min(cmp.Or(config.MaxOffline, 30*24*time.Hour), fleet.RevokedFor-config.CertificateTTL)
	config.Heartbeat = cmp.Or(config.Heartbeat, 15*time.Second)
	config.ConnectRate = cmp.Or(config.ConnectRate, 200)
	m := newMetrics(config.Metrics)
	return &Server{
		Config: config, metrics: m, packs: newPacks(config.Blobs, m), stopping: make(chan struct{}),
		admit: rate.NewLimiter(rate.Limit(config.ConnectRate), max(int(config.ConnectRate), 1)),
	}
}

// Register adds the service to a server, which must have the Server's interceptors.
func (s *Server) Register(server *grpc.Server) { spokev1.RegisterSpokeServiceServer(server, s) }

// Run marks clusters as disconnected that are silent, until ctx ends; then it ends the open sessions.
func (s *Server) Run(ctx context.Context) error {
	defer close(s.stopping)
	return run.Every(ctx, s.Heartbeat/3, nil, func(ctx context.Context) {
		marking, cancel := context.WithTimeout(ctx, s.Heartbeat)
		defer cancel()
		if err := s.Store.DisconnectSilent(marking, 3*s.Heartbeat); err != nil && ctx.Err() == nil {
			s.Log.Error("silent clusters not marked", "err", err)
		}
	})
}

type metrics struct {
	sessions  prometheus.Gauge
	states    *prometheus.CounterVec
	reports   prometheus.Counter
	skipped   prometheus.Counter
	packs     *prometheus.CounterVec
	packBytes prometheus.Counter
}

func newMetrics(registry prometheus.Registerer) *metrics {
	m := &metrics{
		sessions: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "flotilla_hub_sessions", Help: "Open sessions of spokes."}),
		states: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "flotilla_hub_states_sent_total", Help: "Desired states sent to spokes, full or as a delta."}, []string{"form"}),
		reports: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "flotilla_hub_reports_stored_total", Help: "Reports of Assignments that were stored."}),
		skipped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "flotilla_hub_reports_skipped_total", Help: "Reports, events and keys from spokes that were not understood."}),
		packs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "flotilla_hub_packs_total", Help: "Packs asked for by spokes, by what it took: made or found."}, []string{"result"}),
		packBytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "flotilla_hub_pack_bytes_total", Help: "Bytes of packs sent to spokes."}),
	}
	if registry != nil {
		registry.MustRegister(m.sessions, m.states, m.reports, m.skipped, m.packs, m.packBytes)
	}
	return m
}
