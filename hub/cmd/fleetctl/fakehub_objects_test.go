package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

type fakeObjects struct {
	adminv1.UnimplementedObjectsServiceServer
	*fakeHub
}

func (f *fakeObjects) Apply(_ context.Context, r *adminv1.ApplyRequest) (*adminv1.ApplyResponse, error) {
	declared, err := resource.Decode(r.GetObject())
	if err != nil {
		return nil, err
	}
	key := objectKey{declared.Kind, declared.Metadata.Namespace, declared.Metadata.Name, ""}
	f.mu.Lock()
	before, known := f.objects[key]
	response := &adminv1.ApplyResponse{
		Object: r.GetObject(), Change: adminv1.Change_CHANGE_CREATED, Impact: f.impacts[key.name],
	}
	f.mu.Unlock()
	if known {
		response.Change = adminv1.Change_CHANGE_CONFIGURED
		if old, err := resource.Decode(before); err == nil && string(old.Spec) == string(declared.Spec) {
			response.Change = adminv1.Change_CHANGE_UNCHANGED
		}
	}
	if response.Impact == nil && declared.Kind == "Placement" && strings.Contains(string(declared.Spec), `"selector":{}`) {
		response.Impact = f.everyCluster()
		response.Impact.Deletes = strings.Contains(string(declared.Spec), `"onUnmatch":"Prune"`)
	}
	if r.Confirm != nil && r.GetConfirm() != response.GetImpact().GetClusters() {
		return nil, fmt.Errorf("%w: it is %d clusters now", fleet.ErrConflict, response.GetImpact().GetClusters())
	}
	if !r.GetDryRun() && response.GetChange() != adminv1.Change_CHANGE_UNCHANGED {
		f.store(key, r.GetObject(), false)
	}
	if !r.GetDryRun() && f.applied != nil {
		f.applied(r)
	}
	return response, nil
}

// everyCluster is what a change means that is about all.
func (h *fakeHub) everyCluster() *adminv1.Impact {
	h.mu.Lock()
	defer h.mu.Unlock()
	impact := &adminv1.Impact{EveryCluster: true}
	for key := range h.objects {
		if key.kind == "Cluster" {
			impact.Clusters++
		}
	}
	return impact
}

// missingCluster is what a hub says of a cluster that it does not know: there is neither a Cluster nor an instance in it.
func (h *fakeHub) missingCluster(name string) error {
	if name == "" || name == "*" {
		return nil
	}
	for key := range h.objects {
		if key.cluster == name || key.kind == "Cluster" && key.name == name {
			return nil
		}
	}
	return fmt.Errorf("get Cluster/%s: %w", name, fleet.ErrNotFound)
}

func (f *fakeObjects) Get(_ context.Context, r *adminv1.GetRequest) (*adminv1.GetResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.missingCluster(r.GetCluster()); err != nil {
		return nil, err
	}
	raw, found := f.objects[objectKey{r.GetKind(), r.GetNamespace(), r.GetName(), r.GetCluster()}]
	if !found {
		return nil, fmt.Errorf("%s/%s/%s: %w", r.GetKind(), r.GetNamespace(), r.GetName(), fleet.ErrNotFound)
	}
	return &adminv1.GetResponse{Object: raw}, nil
}

func matches(key objectKey, raw json.RawMessage, kind, namespace, cluster, name, selector string) bool {
	o, err := readObject(raw)
	switch {
	case err != nil || key.kind != kind || namespace != "" && key.namespace != namespace || name != "" && key.name != name:
		return false
	case cluster == "*" && key.cluster == "", cluster != "*" && key.cluster != cluster:
		return false
	}
	label, value, selects := strings.Cut(selector, "=")
	return !selects || o.Metadata.Labels[label] == value
}

func (f *fakeObjects) List(_ context.Context, r *adminv1.ListRequest) (*adminv1.ListResponse, error) {
	response, err := f.list(r)
	if f.listed != nil {
		f.listed(r)
	}
	return response, err
}

func (f *fakeObjects) list(r *adminv1.ListRequest) (*adminv1.ListResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.missingCluster(r.GetCluster()); err != nil {
		return nil, err
	}
	var keys []objectKey
	for key, raw := range f.objects {
		if matches(key, raw, r.GetKind(), r.GetNamespace(), r.GetCluster(), r.GetName(), r.GetLabelSelector()) {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b objectKey) int {
		return cmp.Or(cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.name, b.name), cmp.Compare(a.cluster, b.cluster))
	})
	response := &adminv1.ListResponse{WatchToken: strconv.Itoa(len(f.log))}
	from, _ := strconv.Atoi(r.GetPageToken())
	for i, key := range keys {
		if i < from {
			continue
		}
		if f.page > 0 && i-from == f.page {
			response.NextPageToken = strconv.Itoa(i)
			break
		}
		response.Objects = append(response.Objects, f.objects[key])
	}
	return response, nil
}

func (f *fakeObjects) Watch(r *adminv1.WatchRequest, stream grpc.ServerStreamingServer[adminv1.WatchResponse]) error {
	f.mu.Lock()
	f.tokens = append(f.tokens, r.GetWatchToken())
	f.mu.Unlock()
	at, err := strconv.Atoi(r.GetWatchToken())
	if err != nil {
		return status.Error(codes.InvalidArgument, "no watch token")
	}
	for first := true; ; first = false {
		f.mu.Lock()
		wake, oldest := f.wake, f.oldest
		changes := f.log[min(at, len(f.log)):]
		missing := f.missingCluster(r.GetCluster())
		f.mu.Unlock()
		switch {
		case missing != nil:
			return missing
		case at < oldest:
			return status.Error(codes.OutOfRange, "the watch token is unknown")
		case first && len(changes) == 0: // a hub says something at once
			changes = []logged{{}}
			at--
		}
		for _, change := range changes {
			at++
			response := &adminv1.WatchResponse{Event: adminv1.WatchEvent_WATCH_EVENT_BOOKMARK, WatchToken: strconv.Itoa(at)}
			if change.key.kind != "" && matches(change.key, change.raw, r.GetKind(), r.GetNamespace(), r.GetCluster(), r.GetName(), r.GetLabelSelector()) {
				response.Event, response.Object = adminv1.WatchEvent_WATCH_EVENT_CHANGED, change.raw
				if change.deleted {
					response.Event = adminv1.WatchEvent_WATCH_EVENT_DELETED
				}
			}
			if err := stream.Send(response); err != nil {
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

func (f *fakeObjects) Delete(_ context.Context, r *adminv1.DeleteRequest) (*adminv1.DeleteResponse, error) {
	key := objectKey{r.GetKind(), r.GetNamespace(), r.GetName(), r.GetCluster()}
	f.mu.Lock()
	_, found := f.objects[key]
	impact := f.impacts[key.name]
	_, used := f.objects[objectKey{"Kustomization", key.namespace, key.name, ""}]
	f.mu.Unlock()
	switch {
	case key.kind == "GitRepository" && used: // by the app of its name
		return nil, fmt.Errorf("%s/%s: %w: it is used", r.GetKind(), r.GetName(), fleet.ErrConflict)
	case !found && key.cluster != "" && f.orders:
		return &adminv1.DeleteResponse{Impact: impact}, nil
	case !found:
		return nil, fmt.Errorf("%s/%s: %w", r.GetKind(), r.GetName(), fleet.ErrNotFound)
	case r.Confirm != nil && r.GetConfirm() != impact.GetClusters():
		return nil, fmt.Errorf("%w: it is %d clusters now", fleet.ErrConflict, impact.GetClusters())
	case !r.GetDryRun():
		f.remove(key.kind, key.namespace, key.name, key.cluster)
		if f.deleted != nil {
			f.deleted(r)
		}
	}
	return &adminv1.DeleteResponse{Impact: impact}, nil
}
