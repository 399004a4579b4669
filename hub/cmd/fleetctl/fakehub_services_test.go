package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

type fakeApps struct {
	adminv1.UnimplementedAppsServiceServer
	*fakeHub
}

func (f *fakeApps) object(kind, namespace, name string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	raw, found := f.objects[objectKey{kind, namespace, name, ""}]
	if !found {
		return nil, fmt.Errorf("%s/%s/%s: %w", kind, namespace, name, fleet.ErrNotFound)
	}
	return raw, nil
}

// clustersOf are those that have an instance.
func (h *fakeHub) clustersOf(kind, name string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var clusters []string
	for key := range h.objects {
		if key.kind == kind && key.name == name && key.cluster != "" {
			clusters = append(clusters, key.cluster)
		}
	}
	slices.Sort(clusters)
	return clusters
}

// unlessDry is text, which a dry run does not give away.
func unlessDry(request interface{ GetDryRun() bool }, text string) string {
	if request.GetDryRun() {
		return ""
	}
	return text
}

func (f *fakeApps) Reconcile(_ context.Context, r *adminv1.ReconcileRequest) (*adminv1.ReconcileResponse, error) {
	if _, err := f.object(r.GetKind(), r.GetNamespace(), r.GetName()); err != nil {
		return nil, err
	}
	response := &adminv1.ReconcileResponse{RequestedAt: unlessDry(r, requestedAt), Clusters: f.clustersOf(r.GetKind(), r.GetName())}
	if f.source != nil {
		response.SourceKind, response.SourceNamespace, response.SourceName = f.source.SourceKind, f.source.SourceNamespace, f.source.SourceName
	}
	if f.asked != nil && !r.GetDryRun() {
		f.asked(r)
	}
	return response, nil
}

func (f *fakeApps) Suspend(_ context.Context, r *adminv1.SuspendRequest) (*adminv1.SuspendResponse, error) {
	raw, err := f.object(r.GetKind(), r.GetNamespace(), r.GetName())
	return &adminv1.SuspendResponse{Object: raw, Clusters: f.clustersOf(r.GetKind(), r.GetName())}, err
}

func (f *fakeApps) Resume(_ context.Context, r *adminv1.ResumeRequest) (*adminv1.ResumeResponse, error) {
	raw, err := f.object(r.GetKind(), r.GetNamespace(), r.GetName())
	return &adminv1.ResumeResponse{Object: raw, RequestedAt: unlessDry(r, requestedAt), Clusters: f.clustersOf(r.GetKind(), r.GetName())}, err
}

func (f *fakeApps) History(_ context.Context, r *adminv1.HistoryRequest) (*adminv1.HistoryResponse, error) {
	_, err := f.object(r.GetKind(), r.GetNamespace(), r.GetName())
	return &adminv1.HistoryResponse{Entries: f.history}, err
}

type fakeClusters struct {
	adminv1.UnimplementedClustersServiceServer
	*fakeHub
}

func (f *fakeClusters) Register(_ context.Context, r *adminv1.RegisterRequest) (*adminv1.RegisterResponse, error) {
	if f.register != nil {
		return f.register(r)
	}
	return &adminv1.RegisterResponse{
		Token: unlessDry(r, "fl1.id.secret.pin"), SpokeAddress: "hub.example.com:8443",
		ExpiresAt: timestamppb.New(now.Add(time.Hour)),
		Cluster:   []byte(`{"apiVersion":"` + fleet.APIVersion + `","kind":"Cluster","metadata":{"name":"` + r.GetName() + `"}}`),
	}, nil
}

type fakeEvents struct {
	adminv1.UnimplementedEventsServiceServer
	*fakeHub
}

func eventMatches(f *adminv1.EventFilter, e *adminv1.Event) bool {
	return (f.GetKind() == "" || f.GetKind() == e.GetKind()) && (f.GetName() == "" || f.GetName() == e.GetName()) &&
		(f.GetNamespace() == "" || f.GetNamespace() == e.GetNamespace()) &&
		(f.GetCluster() == "" || f.GetCluster() == e.GetCluster()) && (!f.GetWarnings() || e.GetWarning()) &&
		(f.GetSince() == nil || !e.GetAt().AsTime().Before(f.GetSince().AsTime()))
}

func (f *fakeEvents) List(_ context.Context, r *adminv1.EventsServiceListRequest) (*adminv1.EventsServiceListResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	response := &adminv1.EventsServiceListResponse{WatchToken: strconv.Itoa(len(f.fakeHub.events))}
	for _, e := range f.fakeHub.events {
		if eventMatches(r.GetFilter(), e) {
			response.Events = append(response.Events, e)
		}
	}
	return response, nil
}

func (f *fakeEvents) Watch(r *adminv1.EventsServiceWatchRequest, stream grpc.ServerStreamingServer[adminv1.EventsServiceWatchResponse]) error {
	at, _ := strconv.Atoi(r.GetWatchToken())
	for {
		f.mu.Lock()
		wake, events, oldest := f.wake, f.fakeHub.events[at:], f.oldest
		f.mu.Unlock()
		if at < oldest {
			return status.Error(codes.OutOfRange, "the watch token is unknown")
		}
		for _, e := range events {
			if !eventMatches(r.GetFilter(), e) {
				continue
			}
			if err := stream.Send(&adminv1.EventsServiceWatchResponse{Event: e, WatchToken: strconv.Itoa(at)}); err != nil {
				return err
			}
			if f.breaks(e) {
				return status.Error(codes.Unavailable, "the hub stops")
			}
		}
		at += len(events)
		if err := stream.Send(&adminv1.EventsServiceWatchResponse{WatchToken: strconv.Itoa(at)}); err != nil {
			return err
		}
		select {
		case <-stream.Context().Done():
			return nil
		case <-cutOf(stream.Context()):
			return status.Error(codes.Unavailable, "the hub stops")
		case <-wake:
		}
	}
}

type fakePrunes struct {
	adminv1.UnimplementedPrunesServiceServer
	*fakeHub
}

func (f *fakePrunes) Show(_ context.Context, r *adminv1.ShowRequest) (*adminv1.ShowResponse, error) {
	response := &adminv1.ShowResponse{}
	for _, set := range f.held {
		if r.GetCluster() != "" && !slices.Contains(set.GetClusters(), r.GetCluster()) {
			continue
		}
		if r.GetCluster() != "" {
			set = proto.CloneOf(set)
			set.Clusters = []string{r.GetCluster()}
		}
		response.Sets = append(response.Sets, set)
	}
	return response, nil
}

func (f *fakePrunes) Approve(_ context.Context, r *adminv1.ApproveRequest) (*adminv1.ApproveResponse, error) {
	for _, set := range f.held {
		if set.GetDigest() == r.GetDigest() {
			if r.GetCluster() != "" {
				return &adminv1.ApproveResponse{Clusters: []string{r.GetCluster()}}, nil
			}
			return &adminv1.ApproveResponse{Clusters: set.GetClusters()}, nil
		}
	}
	return nil, fmt.Errorf("%w: no such set is held", fleet.ErrConflict)
}

type fakeAdmin struct {
	adminv1.UnimplementedHubServiceServer
	*fakeHub
}

func (f *fakeAdmin) Version(context.Context, *adminv1.VersionRequest) (*adminv1.VersionResponse, error) {
	return &adminv1.VersionResponse{Version: "v0.3.1", GoVersion: "go1.26", Schema: 7, Spokes: map[string]uint32{"v0.3.1": 2, "v0.3.0": 1}}, nil
}

func (f *fakeAdmin) Status(context.Context, *adminv1.StatusRequest) (*adminv1.StatusResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status, nil
}

func (f *fakeAdmin) Recover(context.Context, *adminv1.RecoverRequest) (*adminv1.RecoverResponse, error) {
	return &adminv1.RecoverResponse{Clusters: []string{"prod-1", "prod-2"}, Sources: 3}, nil
}
