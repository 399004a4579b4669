package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
	"flotilla.dev/flotilla/pkg/rpc"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// questions asks spokes about their clusters.
type questions struct {
	adminv1.UnimplementedQuestionsServiceServer
	*Server
}

const (
	// A spoke has this long for an answer, or as long as the caller says.
	askTimeout    = 30 * time.Second
	maxAskTimeout = 5 * time.Minute
	// maxAsked is how many clusters are asked at once for one call.
	maxAsked = 16
	// answerChunk bounds a part of an answer.
	answerChunk = 1 << 20
)

// asked is a cluster that a question goes to.
type asked struct {
	name      string
	connected bool
	lastSeen  time.Time
	ask       fleet.Ask
}

// Ask streams the answers of the clusters as they come.
func (s *questions) Ask(req *adminv1.AskRequest, stream grpc.ServerStreamingServer[adminv1.AskResponse]) error {
	ctx := stream.Context()
	within, err := askWithin(req)
	if err != nil {
		return err
	}
	clusters, err := s.asked(ctx, req)
	if err != nil {
		return err
	}
	var sending sync.Mutex // a stream has one sender at a time
	var group errgroup.Group
	group.SetLimit(maxAsked)
	for _, cluster := range clusters {
		group.Go(func() error {
			answer, err := s.askConnected(ctx, cluster, within)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			sending.Lock()
			defer sending.Unlock()
			return sendAnswer(stream, cluster.name, answer, err)
		})
	}
	return group.Wait()
}

func askWithin(req *adminv1.AskRequest) (time.Duration, error) {
	within := req.GetTimeout().AsDuration()
	switch {
	case within == 0:
		return askTimeout, nil
	case within < 0:
		return 0, fmt.Errorf("%w: a timeout of %s", fleet.ErrInvalid, within)
	}
	return min(within, maxAskTimeout), nil
}

// asked are the clusters that the request means, and what each is asked.
func (s *questions) asked(ctx context.Context, req *adminv1.AskRequest) ([]asked, error) {
	ask, err := askOf(req)
	if err != nil {
		return nil, err
	}
	if ask.What == fleet.AskTrace {
		if req.GetCluster() == "" || ask.Word == "" || ask.Name == "" {
			return nil, fmt.Errorf("%w: a trace is of a named object in one cluster", fleet.ErrInvalid)
		}
		states, err := s.Store.ClusterStatuses(ctx)
		if err != nil {
			return nil, err
		}
		state, known := states[req.GetCluster()]
		if !known {
			return nil, fmt.Errorf("Cluster/%s: %w", req.GetCluster(), fleet.ErrNotFound)
		}
		return []asked{{name: req.GetCluster(), connected: state.Connected, lastSeen: state.LastSeen, ask: ask}}, nil
	}
	kind, err := kindOf(req.GetKind())
	if err != nil {
		return nil, err
	}
	if !kind.App {
		return nil, fmt.Errorf("%w: a %s has no objects in a cluster", fleet.ErrInvalid, kind.Name)
	}
	if err := s.findCluster(ctx, req.GetCluster()); err != nil {
		return nil, err
	}
	instances, _, err := s.Store.Instances(ctx, fleet.InstanceQuery{Kind: kind.Name, Namespace: req.GetNamespace(), Name: req.GetName(), Cluster: req.GetCluster()})
	if err != nil {
		return nil, err
	}
	if len(instances) == 0 {
		object, err := s.Store.Object(ctx, kind.Name, req.GetNamespace(), req.GetName())
		if err != nil {
			return nil, err
		}
		if req.GetCluster() != "" {
			return nil, fmt.Errorf("%s in Cluster/%s: %w: it is not placed there", object, req.GetCluster(), fleet.ErrNotFound)
		}
		return nil, fmt.Errorf("%s: %w: no cluster has it", object, fleet.ErrConflict)
	}
	clusters := make([]asked, len(instances))
	for i, instance := range instances {
		ask.App = instance.Assignment.App
		clusters[i] = asked{name: instance.Cluster, connected: instance.Connected, lastSeen: instance.LastSeen, ask: ask}
	}
	return clusters, nil
}

func askOf(req *adminv1.AskRequest) (fleet.Ask, error) {
	switch what := req.GetAsk().(type) {
	case *adminv1.AskRequest_Diff:
		return fleet.Ask{What: fleet.AskDiff, Drift: what.Diff.GetDrift(), Documents: what.Diff.GetDocuments()}, nil
	case *adminv1.AskRequest_DeclaredDiff:
		terms, err := declaredTerms(req, what.DeclaredDiff.GetDeclared())
		return fleet.Ask{What: fleet.AskDeclaredDiff, Documents: what.DeclaredDiff.GetDocuments(), Terms: terms}, err
	case *adminv1.AskRequest_Tree:
		return fleet.Ask{What: fleet.AskTree}, nil
	case *adminv1.AskRequest_Variables:
		return fleet.Ask{What: fleet.AskVariables}, onlyOf(req, flux.KustomizationKind, "variables")
	case *adminv1.AskRequest_HelmValues:
		return fleet.Ask{What: fleet.AskHelmValues}, onlyOf(req, flux.HelmReleaseKind, "values")
	case *adminv1.AskRequest_HelmHistory:
		return fleet.Ask{What: fleet.AskHelmHistory}, onlyOf(req, flux.HelmReleaseKind, "versions")
	case *adminv1.AskRequest_Trace:
		return fleet.Ask{What: fleet.AskTrace, Word: what.Trace.GetWord(), Namespace: what.Trace.GetNamespace(), Name: what.Trace.GetName()}, nil
	}
	return fleet.Ask{}, fmt.Errorf("%w: nothing is asked that this hub knows", fleet.ErrInvalid)
}

// onlyOf refuses to ask for what only one kind of App has.
func onlyOf(req *adminv1.AskRequest, kind, what string) error {
	if req.GetKind() != kind {
		return fmt.Errorf("%w: a %s has %s, not a %s", fleet.ErrInvalid, kind, what, req.GetKind())
	}
	return nil
}

// declaredTerms are those of a Kustomization as it would be declared, checked as if it were.
func declaredTerms(req *adminv1.AskRequest, declared []byte) (fleet.Terms, error) {
	o, err := resource.Decode(declared)
	if err != nil {
		return fleet.Terms{}, err
	}
	if o.Kind != resource.Kustomization.Name || o.Metadata.Namespace != req.GetNamespace() || o.Metadata.Name != req.GetName() {
		return fleet.Terms{}, fmt.Errorf("%w: asked is about %s/%s/%s, and declared is %s", fleet.ErrInvalid, req.GetKind(), req.GetNamespace(), req.GetName(), o)
	}
	spec, err := resource.Spec[flux.Kustomization](o)
	if err != nil {
		return fleet.Terms{}, err
	}
	return spec.Terms(o.Metadata.Annotations), nil
}

// askConnected asks a cluster that can answer.
func (s *Server) askConnected(ctx context.Context, cluster asked, within time.Duration) ([]byte, error) {
	if !cluster.connected {
		if cluster.lastSeen.Unix() <= 0 {
			return nil, fmt.Errorf("%w: its spoke has never connected", fleet.ErrUnavailable)
		}
		return nil, fmt.Errorf("%w: it is not connected, unheard for %s", fleet.ErrUnavailable, time.Since(cluster.lastSeen).Round(time.Second))
	}
	return s.ask(ctx, cluster.name, cluster.ask, within)
}

// ask asks a cluster's spoke on behalf of the caller and waits for the answer.
func (s *Server) ask(ctx context.Context, cluster string, ask fleet.Ask, within time.Duration) ([]byte, error) {
	question, err := s.Store.Ask(ctx, s.Caller(ctx), cluster, ask, within)
	if err != nil {
		return nil, err
	}
	return s.Store.Answer(ctx, question)
}

func sendAnswer(stream grpc.ServerStreamingServer[adminv1.AskResponse], cluster string, answer []byte, problem error) error {
	if problem != nil {
		s := status.Convert(rpc.Status(problem))
		if s.Code() == codes.Internal && errors.Is(problem, context.DeadlineExceeded) {
			s = status.New(codes.DeadlineExceeded, "the database did not answer in time")
		}
		return stream.Send(&adminv1.AskResponse{Cluster: cluster, Last: true, Error: s.Message(), Code: uint32(s.Code())})
	}
	parts := slices.Collect(slices.Chunk(answer, answerChunk))
	for i, part := range parts {
		if err := stream.Send(&adminv1.AskResponse{Cluster: cluster, Chunk: part, Last: i == len(parts)-1}); err != nil {
			return err
		}
	}
	if len(parts) == 0 {
		return stream.Send(&adminv1.AskResponse{Cluster: cluster, Last: true})
	}
	return nil
}
