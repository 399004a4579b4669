package api

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/grpc"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
	"flotilla.dev/flotilla/pkg/run"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// Store is what the services need of the store.
type Store interface {
	ApplyObject(ctx context.Context, by fleet.Caller, object *resource.Object, order fleet.Order) (*resource.Object, resource.Change, fleet.Impact, error)
	DeleteObject(ctx context.Context, by fleet.Caller, d resource.Deletion) (fleet.Impact, error)
	EndInstance(ctx context.Context, by fleet.Caller, app fleet.Key, cluster string, remove bool, order fleet.Order) (fleet.Impact, error)
	Object(ctx context.Context, kind, namespace, name string) (*resource.Object, error)
	Objects(ctx context.Context, q resource.Query) ([]*resource.Object, fleet.Horizon, error)
	Sources(ctx context.Context) (map[fleet.Key]fleet.SourceState, error)
	SourceStates(ctx context.Context, kind string) (map[string]fleet.SourceState, error)
	ReceiverStates(ctx context.Context, namespace, name string) (map[string]fleet.ReceiverState, error)
	AppStates(ctx context.Context) (map[fleet.Key]fleet.AppState, error)
	Instances(ctx context.Context, q fleet.InstanceQuery) ([]fleet.Instance, fleet.Horizon, error)
	GoneInstances(ctx context.Context, q fleet.InstanceQuery) ([]fleet.GoneInstance, error)
	ClusterStatuses(ctx context.Context) (map[string]fleet.ClusterStatus, error)
	PlacementStates(ctx context.Context) (map[string]fleet.PlacementState, error)
	WatchToken(h fleet.Horizon) string
	ParseWatchToken(token string) (fleet.Horizon, error)
	Remembers(ctx context.Context, since fleet.Horizon) (bool, error)

	RequestReconcile(ctx context.Context, by fleet.Caller, kind, namespace, name string, source *flux.SourceRef, options fleet.LookOptions) (fleet.LookRequest, error)
	RequestInstance(ctx context.Context, by fleet.Caller, app fleet.Key, cluster string, options fleet.LookOptions) (fleet.LookRequest, error)
	Suspend(ctx context.Context, by fleet.Caller, kind, namespace, name string, dryRun bool) (*resource.Object, []string, error)
	Resume(ctx context.Context, by fleet.Caller, kind, namespace, name string, dryRun bool) (*resource.Object, fleet.LookRequest, error)
	PushArtifact(ctx context.Context, by fleet.Caller, object *resource.Object, pushed fleet.Pushed, dryRun bool) (*resource.Object, resource.Change, error)
	ApprovePrune(ctx context.Context, by fleet.Caller, app fleet.Key, cluster string, digest fleet.Digest, order fleet.Order) ([]string, error)
	Ask(ctx context.Context, by fleet.Caller, cluster string, ask fleet.Ask, within time.Duration) (fleet.Question, error)
	Answer(ctx context.Context, question fleet.Question) ([]byte, error)
	RegisterCluster(ctx context.Context, by fleet.Caller, object *resource.Object, token fleet.JoinToken, rejoin, dryRun bool) (*resource.Object, time.Time, error)
	AppHistory(ctx context.Context, app fleet.Key) ([]fleet.HistoryEntry, error)
	InstanceHistory(ctx context.Context, app fleet.Key, cluster string) ([]fleet.HistoryEntry, error)
	Events(ctx context.Context, q fleet.EventQuery) ([]fleet.FleetEvent, fleet.Horizon, error)
	BeginRecovery(ctx context.Context, by fleet.Caller) (time.Time, error)
	EndRecovery(ctx context.Context, by fleet.Caller, dryRun bool) ([]string, error)

	// Act has a Command carried out for an actor, and returns the Rollout after it, without its members.
	Act(ctx context.Context, actor string, app fleet.Key, c rollout.Command) (rollout.Rollout, error)
	// RolloutHead returns a Rollout without its members: by its id, of any App if that is zero; without an id, the App's
	// one under way, or else its newest.
	RolloutHead(ctx context.Context, app fleet.Key, id string) (rollout.Rollout, error)
	Rollouts(ctx context.Context, q rollout.Query) ([]rollout.Rollout, error)
	RolloutMembers(ctx context.Context, id string, q rollout.MemberQuery) ([]rollout.MemberNow, error)
	NotTargeted(ctx context.Context, id string) ([]rollout.NotTargeted, error)
	RolloutEvents(ctx context.Context, id string, after uint64, limit int) ([]rollout.Logged, error)
	PlanRollout(ctx context.Context, app fleet.Key, target string, policy *fleet.RolloutPolicy) (rollout.Preview, error)
	ResolveRelease(ctx context.Context, app fleet.Key, target string) (fleet.Digest, error)
	ReleaseRevisions(ctx context.Context, releases []fleet.Digest) (map[fleet.Digest]fleet.Revision, error)
	ReleaseOutcomes(ctx context.Context, releases []fleet.Digest) (map[fleet.Digest]rollout.Outcome, error)
	Freeze(ctx context.Context, actor string, clusters []string, reason string, order fleet.Order) (rollout.Frozen, fleet.Impact, error)
	Unfreeze(ctx context.Context, actor string, clusters []string, order fleet.Order) (rollout.Frozen, fleet.Impact, error)
	Frozen(ctx context.Context) (rollout.Frozen, error)
	Standings(ctx context.Context, namespace string) (map[fleet.Key]rollout.Standing, error)
}

// Config is what a Server needs.
type Config struct {
	Store Store
	Blobs Blobs
	// Caller is who makes a call.
	Caller func(ctx context.Context) fleet.Caller
	// Watch returns a wake-up for whatever the services show; WatchEvents one for events, WatchRollouts one for Rollouts.
	Watch         func() (wake run.Wake, stop func())
	WatchEvents   func() (wake run.Wake, stop func())
	WatchRollouts func() (wake run.Wake, stop func())
	// Pin is the digest of the hub CA's public key, which join tokens carry; SpokeAddress is where spokes reach the
	// hub.
	Pin          fleet.Digest
	SpokeAddress string
	// CrossNamespaceRefs lets Apps be built from Sources of other namespaces.
	CrossNamespaceRefs bool
	// Version of the hub and of its database schema.
	Version string
	Schema  int
	Log     *slog.Logger
}

// Server serves the admin API.
type Server struct {
	Config
	stopping chan struct{}
}

// New returns a Server.
func New(config Config) *Server { return &Server{Config: config, stopping: make(chan struct{})} }

// Register adds the services to a server that authorizes its calls.
func (s *Server) Register(server *grpc.Server) {
	adminv1.RegisterObjectsServiceServer(server, &objects{Server: s})
	adminv1.RegisterAppsServiceServer(server, &apps{Server: s})
	adminv1.RegisterClustersServiceServer(server, &clusters{Server: s})
	adminv1.RegisterEventsServiceServer(server, &events{Server: s})
	adminv1.RegisterPrunesServiceServer(server, &prunes{Server: s})
	adminv1.RegisterQuestionsServiceServer(server, &questions{Server: s})
	adminv1.RegisterArtifactsServiceServer(server, newArtifacts(s))
	adminv1.RegisterRolloutsServiceServer(server, &rollouts{Server: s})
	adminv1.RegisterHubServiceServer(server, &hub{Server: s})
}

// Run waits until ctx ends and then ends the open watches.
func (s *Server) Run(ctx context.Context) error {
	defer close(s.stopping)
	<-ctx.Done()
	return nil
}
