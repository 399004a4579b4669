package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// fakeRollouts are the Rollouts of a hub in memory, the newest first. A test puts them there; what is asked of one answers
// with it, changed as the test says.
type fakeRollouts struct {
	adminv1.UnimplementedRolloutsServiceServer
	*fakeHub
}

// rolledOut is what a fake hub knows of Rollouts.
type rolledOut struct {
	rollouts []*adminv1.Rollout
	members  []*adminv1.RolloutCluster // of all of them
	events   []*adminv1.RolloutEvent   // of all of them
	plan     *adminv1.PlanRolloutResponse
	frozen   *adminv1.GetFreezeResponse
	targets  *adminv1.ListTargetsResponse
	part     int                    // how many events an answer of a Watch has at most; 0: all
	left     []*adminv1.NotTargeted // of the plan, and of the one under way
	// planPage is how many clusters a page of the plan has; 0: all. replans is how often the plan becomes another one while it is read.
	planPage, replans int
	after             []uint64 // numbers that Watches came with
	// refuses, if set, says why a Rollout does not begin.
	refuses func(*adminv1.StartRolloutRequest) error
	// listed runs before clusters of a Rollout are listed.
	listed func()
	// steered runs before a change of a Rollout is answered, with that Rollout.
	steered func(request proto.Message, ro *adminv1.Rollout)
}

// putRollout stores a Rollout in the place of the one of its id, or as the newest, and tells the watchers.
func (h *fakeHub) putRollout(ro *adminv1.Rollout, events ...*adminv1.RolloutEvent) {
	h.mu.Lock()
	defer h.mu.Unlock()
	at := slices.IndexFunc(h.rolled.rollouts, func(known *adminv1.Rollout) bool { return known.GetId() == ro.GetId() })
	if at < 0 {
		h.rolled.rollouts = slices.Insert(h.rolled.rollouts, 0, ro)
	} else {
		ro.Version = h.rolled.rollouts[at].GetVersion() + 1
		h.rolled.rollouts[at] = ro
	}
	for _, e := range events {
		e.Number = uint64(len(h.rolled.events) + 1)
		e.At = timestamppb.New(now.Add(time.Duration(len(h.rolled.events)) * time.Second))
		h.rolled.events = append(h.rolled.events, e)
	}
	h.woken()
}

// changeRollout changes the Rollout of that id and tells the watchers.
func (h *fakeHub) changeRollout(t *testing.T, id string, change func(*adminv1.Rollout), events ...*adminv1.RolloutEvent) {
	t.Helper()
	h.mu.Lock()
	ro, err := h.findRollout(&adminv1.AppRollout{Id: id})
	h.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	ro = proto.CloneOf(ro)
	change(ro)
	h.putRollout(ro, events...)
}

func (h *fakeHub) findRollout(r *adminv1.AppRollout) (*adminv1.Rollout, error) {
	about := r.GetKind() + "/" + r.GetNamespace() + "/" + r.GetName()
	if _, declared := h.objects[objectKey{r.GetKind(), r.GetNamespace(), r.GetName(), ""}]; !declared && r.GetId() == "" {
		return nil, fmt.Errorf("%s: %w", about, fleet.ErrNotFound)
	}
	active := func(ro *adminv1.Rollout) bool { return !over(ro) && ro.GetPhase() != phaseQueued }
	var newest *adminv1.Rollout
	for _, ro := range h.rolled.rollouts {
		switch {
		case r.GetId() != "" && r.GetId() == ro.GetId():
			return ro, nil
		case r.GetId() != "" || ro.GetAppName() != r.GetName() || ro.GetAppNamespace() != r.GetNamespace():
		case newest == nil, !active(newest) && active(ro):
			newest = ro
		}
	}
	switch {
	case newest != nil:
		return newest, nil
	case r.GetId() != "":
		return nil, fmt.Errorf("rollout %s: %w", r.GetId(), fleet.ErrNotFound)
	}
	return nil, fmt.Errorf("a Rollout of %s: %w", about, fleet.ErrNotFound)
}

func (f *fakeRollouts) PlanRollout(_ context.Context, r *adminv1.PlanRolloutRequest) (*adminv1.PlanRolloutResponse, error) {
	if f.rolled.plan == nil {
		return nil, fmt.Errorf("%w: the Placement of %s/%s/%s names no RolloutPolicy: its Releases go to every cluster at once", fleet.ErrConflict, r.GetApp().GetKind(), r.GetApp().GetNamespace(), r.GetApp().GetName())
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.GetPageToken() != "" && f.rolled.replans > 0 {
		f.rolled.replans--
		return nil, status.Error(codes.Aborted, "the plan is another one now: read it from its beginning")
	}
	response := &adminv1.PlanRolloutResponse{Rollout: f.rolled.plan.GetRollout(), Least: f.rolled.plan.GetLeast()}
	clusters := f.rolled.plan.GetClusters()
	from, _ := strconv.Atoi(r.GetPageToken())
	to := len(clusters) + len(f.rolled.left)
	if f.rolled.planPage > 0 {
		to = min(to, from+f.rolled.planPage)
	}
	response.Clusters = clusters[min(from, len(clusters)):min(to, len(clusters))]
	response.NotTargeted = f.rolled.left[max(from-len(clusters), 0):max(to-len(clusters), 0)]
	if to < len(clusters)+len(f.rolled.left) {
		response.NextPageToken = strconv.Itoa(to)
	}
	return response, nil
}

func (f *fakeRollouts) StartRollout(_ context.Context, r *adminv1.StartRolloutRequest) (*adminv1.StartRolloutResponse, error) {
	if digest := f.rolled.plan.GetRollout().GetPlanDigest(); r.GetExpectedPlanDigest() != "" && r.GetExpectedPlanDigest() != digest {
		return nil, fmt.Errorf("%w: the plan is %s now, not %s: look at it again", fleet.ErrConflict, digest, r.GetExpectedPlanDigest())
	}
	if f.rolled.refuses != nil {
		if err := f.rolled.refuses(r); err != nil {
			return nil, err
		}
	}
	if !r.GetApp().GetDryRun() {
		f.putRollout(f.rolled.plan.GetRollout())
	}
	return &adminv1.StartRolloutResponse{Rollout: f.rolled.plan.GetRollout()}, nil
}

func (f *fakeRollouts) GetRollout(_ context.Context, r *adminv1.GetRolloutRequest) (*adminv1.GetRolloutResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	ro, err := f.findRollout(r.GetApp())
	return &adminv1.GetRolloutResponse{Rollout: ro}, err
}

func (f *fakeRollouts) ListRollouts(_ context.Context, r *adminv1.ListRolloutsRequest) (*adminv1.ListRolloutsResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	response := &adminv1.ListRolloutsResponse{}
	from, _ := strconv.Atoi(r.GetPageToken())
	for i, ro := range f.rolled.rollouts {
		switch {
		case i < from, r.GetName() != "" && r.GetName() != ro.GetAppName(), r.GetNamespace() != "" && r.GetNamespace() != ro.GetAppNamespace(), len(r.GetPhases()) > 0 && !slices.Contains(r.GetPhases(), ro.GetPhase()):
			continue
		case len(response.GetRollouts()) == 2: // small pages
			response.NextPageToken = strconv.Itoa(i)
			return response, nil
		}
		response.Rollouts = append(response.Rollouts, ro)
	}
	return response, nil
}

func (f *fakeRollouts) ListRolloutClusters(_ context.Context, r *adminv1.ListRolloutClustersRequest) (*adminv1.ListRolloutClustersResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	ro, err := f.findRollout(r.GetApp())
	if err != nil {
		return nil, err
	}
	if f.rolled.listed != nil {
		f.rolled.listed()
	}
	response := &adminv1.ListRolloutClustersResponse{}
	from, _ := strconv.Atoi(r.GetPageToken())
	size := 2
	if r.GetPageSize() > 0 {
		size = int(r.GetPageSize())
	}
	for i, c := range f.rolled.members {
		switch {
		case i < from, len(r.GetPhases()) > 0 && !slices.Contains(r.GetPhases(), c.GetPhase()), r.GetWave() != "" && ro.GetWaves()[c.GetWave()].GetName() != r.GetWave():
			continue
		case len(response.GetClusters()) == size:
			response.NextPageToken = strconv.Itoa(i)
			return response, nil
		}
		response.Clusters = append(response.Clusters, c)
	}
	return response, nil
}

func (f *fakeRollouts) ListNotTargeted(_ context.Context, r *adminv1.ListNotTargetedRequest) (*adminv1.ListNotTargetedResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.findRollout(r.GetApp()); err != nil {
		return nil, err
	}
	size := 2 // small pages
	if r.GetPageSize() > 0 {
		size = int(r.GetPageSize())
	}
	from, _ := strconv.Atoi(r.GetPageToken())
	response := &adminv1.ListNotTargetedResponse{NotTargeted: f.rolled.left[from:]}
	if len(response.GetNotTargeted()) > size {
		response.NotTargeted, response.NextPageToken = response.GetNotTargeted()[:size], strconv.Itoa(from+size)
	}
	return response, nil
}

func (f *fakeRollouts) WatchRollout(r *adminv1.WatchRolloutRequest, stream grpc.ServerStreamingServer[adminv1.WatchRolloutResponse]) error {
	after, sent := r.GetAfter(), uint64(0)
	f.mu.Lock()
	f.rolled.after = append(f.rolled.after, after)
	f.mu.Unlock()
	for first := true; ; first = false {
		f.mu.Lock()
		wake := f.wake
		ro, err := f.findRollout(r.GetApp())
		var events []*adminv1.RolloutEvent
		if int(after) < len(f.rolled.events) {
			events = f.rolled.events[after:]
		}
		part := f.rolled.part
		f.mu.Unlock()
		if err != nil {
			return err
		}
		if part > 0 && len(events) > part {
			events = events[:part]
		}
		if first || ro.GetVersion() != sent || len(events) > 0 {
			sent = ro.GetVersion()
			after += uint64(len(events))
			if err := stream.Send(&adminv1.WatchRolloutResponse{Rollout: ro, Events: events}); err != nil {
				return err
			}
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

// steer answers a change of a Rollout.
func (f *fakeRollouts) steer(request interface {
	proto.Message
	GetApp() *adminv1.AppRollout
}) (*adminv1.Rollout, error) {
	f.mu.Lock()
	ro, err := f.findRollout(request.GetApp())
	f.mu.Unlock()
	switch {
	case err != nil:
		return nil, err
	case request.GetApp().GetVersion() != 0 && request.GetApp().GetVersion() != ro.GetVersion():
		return nil, status.Errorf(codes.Aborted, "rollout %s has changed: it is at version %d", ro.GetId(), ro.GetVersion())
	}
	was := ro
	ro = proto.CloneOf(ro)
	if f.rolled.steered != nil {
		f.rolled.steered(request, ro)
	}
	if back, is := request.(*adminv1.RollbackRequest); is && (back.GetTo() != "" || over(ro)) { // another one begins
		ro.Id, ro.Kind, ro.Phase, ro.Revision = "ro-9bbb", "Backward", phaseRunning, cmp.Or(back.GetTo(), "main@sha1:77aa01c4")
	}
	if !request.GetApp().GetDryRun() && !proto.Equal(was, ro) {
		f.putRollout(ro)
	}
	return ro, nil
}

func (f *fakeRollouts) PauseRollout(_ context.Context, r *adminv1.PauseRolloutRequest) (*adminv1.PauseRolloutResponse, error) {
	ro, err := f.steer(r)
	return &adminv1.PauseRolloutResponse{Rollout: ro}, err
}

func (f *fakeRollouts) ResumeRollout(_ context.Context, r *adminv1.ResumeRolloutRequest) (*adminv1.ResumeRolloutResponse, error) {
	ro, err := f.steer(r)
	return &adminv1.ResumeRolloutResponse{Rollout: ro}, err
}

func (f *fakeRollouts) DecideGate(_ context.Context, r *adminv1.DecideGateRequest) (*adminv1.DecideGateResponse, error) {
	ro, err := f.steer(r)
	return &adminv1.DecideGateResponse{Rollout: ro}, err
}

func (f *fakeRollouts) SkipGate(_ context.Context, r *adminv1.SkipGateRequest) (*adminv1.SkipGateResponse, error) {
	ro, err := f.steer(r)
	return &adminv1.SkipGateResponse{Rollout: ro}, err
}

func (f *fakeRollouts) RetryClusters(_ context.Context, r *adminv1.RetryClustersRequest) (*adminv1.RetryClustersResponse, error) {
	if len(f.rolled.rollouts) == 0 && slices.Equal(r.GetClusters(), []string{"late"}) {
		return &adminv1.RetryClustersResponse{}, nil // it catches up once more
	}
	ro, err := f.steer(r)
	return &adminv1.RetryClustersResponse{Rollout: ro}, err
}

func (f *fakeRollouts) SkipClusters(_ context.Context, r *adminv1.SkipClustersRequest) (*adminv1.SkipClustersResponse, error) {
	ro, err := f.steer(r)
	return &adminv1.SkipClustersResponse{Rollout: ro}, err
}

func (f *fakeRollouts) Rollback(_ context.Context, r *adminv1.RollbackRequest) (*adminv1.RollbackResponse, error) {
	ro, err := f.steer(r)
	return &adminv1.RollbackResponse{Rollout: ro}, err
}

func (f *fakeRollouts) CancelRollout(_ context.Context, r *adminv1.CancelRolloutRequest) (*adminv1.CancelRolloutResponse, error) {
	ro, err := f.steer(r)
	return &adminv1.CancelRolloutResponse{Rollout: ro}, err
}

func (f *fakeRollouts) GetFreeze(_ context.Context, r *adminv1.GetFreezeRequest) (*adminv1.GetFreezeResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	response := proto.CloneOf(f.rolled.frozen)
	from, _ := strconv.Atoi(r.GetPageToken())
	if response.Clusters = response.GetClusters()[from:]; len(response.GetClusters()) > 1 { // small pages
		response.Clusters, response.NextPageToken = response.GetClusters()[:1], strconv.Itoa(from+1)
	}
	return response, nil
}

// concerned are the clusters that a freeze is of, which a person may have confirmed.
func (f *fakeRollouts) concerned(clusters []string, confirm *uint32) (*adminv1.Impact, error) {
	impact := &adminv1.Impact{Clusters: uint32(len(clusters))}
	if len(clusters) == 0 {
		impact = f.everyCluster()
	}
	if confirm != nil && *confirm != impact.GetClusters() {
		return nil, fmt.Errorf("%w: it is %d clusters now", fleet.ErrConflict, impact.GetClusters())
	}
	return impact, nil
}

func (f *fakeRollouts) Freeze(_ context.Context, r *adminv1.FreezeRequest) (*adminv1.FreezeResponse, error) {
	impact, err := f.concerned(r.GetClusters(), r.Confirm)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	state := func(cluster string) *adminv1.FreezeState {
		return &adminv1.FreezeState{Cluster: cluster, Reason: r.GetReason(), Actor: "user:admin", At: timestamppb.New(now)}
	}
	before := proto.CloneOf(f.rolled.frozen)
	for _, cluster := range r.GetClusters() {
		if _, known := f.objects[objectKey{kind: "Cluster", name: cluster}]; !known {
			return nil, fmt.Errorf("Cluster/%s: %w", cluster, fleet.ErrNotFound)
		}
		f.rolled.frozen.Clusters = append(f.rolled.frozen.Clusters, state(cluster))
	}
	if len(r.GetClusters()) == 0 {
		f.rolled.frozen.Fleet = state("")
	}
	after := f.rolled.frozen
	if r.GetDryRun() {
		f.rolled.frozen = before
	}
	first := after.GetClusters()[:min(2, len(after.GetClusters()))]
	return &adminv1.FreezeResponse{Fleet: after.GetFleet(), Clusters: first, More: int32(len(after.GetClusters()) - len(first)), Impact: impact}, nil
}

func (f *fakeRollouts) Unfreeze(_ context.Context, r *adminv1.UnfreezeRequest) (*adminv1.UnfreezeResponse, error) {
	impact, err := f.concerned(r.GetClusters(), r.Confirm)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	after := proto.CloneOf(f.rolled.frozen)
	if len(r.GetClusters()) == 0 {
		after.Fleet = nil
	}
	after.Clusters = slices.DeleteFunc(after.Clusters, func(s *adminv1.FreezeState) bool { return slices.Contains(r.GetClusters(), s.GetCluster()) })
	if !r.GetDryRun() {
		f.rolled.frozen = after
	}
	return &adminv1.UnfreezeResponse{Fleet: after.GetFleet(), Clusters: after.GetClusters(), Impact: impact}, nil
}

func (f *fakeRollouts) ListTargets(_ context.Context, r *adminv1.ListTargetsRequest) (*adminv1.ListTargetsResponse, error) {
	response := proto.CloneOf(f.rolled.targets)
	from, _ := strconv.Atoi(r.GetPageToken())
	if from > 0 {
		response.MissingApps, response.MissingClusters = nil, nil
	}
	if response.Targets = response.GetTargets()[from:]; len(response.GetTargets()) > 1 { // small pages
		response.Targets, response.NextPageToken = response.GetTargets()[:1], strconv.Itoa(from+1)
	}
	return response, nil
}
