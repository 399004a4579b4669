package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"sigs.k8s.io/yaml"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
	"flotilla.dev/flotilla/pkg/rpc"
	"flotilla.dev/flotilla/pkg/rpc/rpctest"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// fakeHub is an admin API in memory. Objects are what tests put there; what is asked of it is kept for them to see.
type fakeHub struct {
	server *rpctest.Server

	mu       sync.Mutex
	objects  map[objectKey]json.RawMessage
	log      []logged
	events   []*adminv1.Event
	wake     chan struct{} // closed and replaced at every change
	cut      chan struct{} // closed and replaced to end all streams
	oldest   int           // watch tokens below are unknown
	tokens   []string      // that Watches came with
	page     int           // objects a page; 0: all
	impacts  map[string]*adminv1.Impact
	warnings []string
	failures map[string]error // by method, such as "Apply"
	requests []proto.Message

	held     []*adminv1.HeldSet
	status   *adminv1.StatusResponse
	register func(*adminv1.RegisterRequest) (*adminv1.RegisterResponse, error)
	asked    func(*adminv1.ReconcileRequest) // runs after a Reconcile is recorded
	listed   func(*adminv1.ListRequest)      // runs before a List is answered, with what was there before it
	applied  func(*adminv1.ApplyRequest)     // runs after an Apply that is no dry run
	deleted  func(*adminv1.DeleteRequest)    // runs after a Delete that is no dry run
	orders   bool                            // a Delete of an instance that is not there is an order to its spoke
	source   *adminv1.ReconcileResponse      // the Source a Reconcile answers with
}

type objectKey struct{ kind, namespace, name, cluster string }

type logged struct {
	key     objectKey
	raw     json.RawMessage
	deleted bool
}

// requestedAt is what the fake hub answers to every request for a look.
const requestedAt = "2026-03-01T12:00:00.000000001Z"

func newFakeHub(t *testing.T, config rpc.ServerConfig) *fakeHub {
	h := &fakeHub{
		objects: map[objectKey]json.RawMessage{}, wake: make(chan struct{}), cut: make(chan struct{}),
		impacts: map[string]*adminv1.Impact{}, failures: map[string]error{}, status: &adminv1.StatusResponse{},
	}
	config.Name, config.Log = "fake", slog.New(slog.DiscardHandler)
	config.Unary = append(config.Unary, h.intercept)
	config.Stream = append(config.Stream, h.interceptStream)
	h.server = rpctest.Serve(t, config, func(s *grpc.Server) {
		adminv1.RegisterObjectsServiceServer(s, &fakeObjects{fakeHub: h})
		adminv1.RegisterAppsServiceServer(s, &fakeApps{fakeHub: h})
		adminv1.RegisterClustersServiceServer(s, &fakeClusters{fakeHub: h})
		adminv1.RegisterEventsServiceServer(s, &fakeEvents{fakeHub: h})
		adminv1.RegisterPrunesServiceServer(s, &fakePrunes{fakeHub: h})
		adminv1.RegisterHubServiceServer(s, &fakeAdmin{fakeHub: h})
	})
	return h
}

func (h *fakeHub) intercept(ctx context.Context, request any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	h.mu.Lock()
	h.requests = append(h.requests, request.(proto.Message))
	failure := h.failures[info.FullMethod[strings.LastIndex(info.FullMethod, "/")+1:]]
	h.mu.Unlock()
	if failure != nil {
		return nil, failure
	}
	return next(ctx, request)
}

func (h *fakeHub) interceptStream(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	h.mu.Lock()
	failure, cut := h.failures[info.FullMethod[strings.LastIndex(info.FullMethod, "/")+1:]], h.cut
	h.mu.Unlock()
	if failure != nil {
		return failure
	}
	return next(server, cuttable{stream, cut})
}

// cuttable is a stream that knows what ends it: all those that came in before cutStreams end by it.
type cuttable struct {
	grpc.ServerStream
	cut chan struct{}
}

func (c cuttable) Context() context.Context {
	return context.WithValue(c.ServerStream.Context(), cuttable{}, c.cut)
}

func cutOf(ctx context.Context) chan struct{} { return ctx.Value(cuttable{}).(chan struct{}) }

// fail makes every call of the method fail; nil lets it work again.
func (h *fakeHub) fail(method string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failures[method] = err
}

// impact is what an Apply or Delete of the object of that name means.
func (h *fakeHub) impact(name string, i *adminv1.Impact) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.impacts[name] = i
}

// put stores objects given as YAML documents and tells the watchers.
func (h *fakeHub) put(t *testing.T, documents string) {
	t.Helper()
	for _, p := range split([]byte(documents)) {
		raw, err := yaml.YAMLToJSONStrict(p.text)
		if err != nil {
			t.Fatalf("test object: %v in\n%s", err, p.text)
		}
		o, err := readObject(raw)
		if err != nil {
			t.Fatal(err)
		}
		h.store(keyOf(o), raw, false)
	}
}

// remove deletes an object and tells the watchers.
func (h *fakeHub) remove(kind, namespace, name, cluster string) {
	key := objectKey{kind, namespace, name, cluster}
	h.mu.Lock()
	raw := h.objects[key]
	h.mu.Unlock()
	h.store(key, raw, true)
}

func (h *fakeHub) store(key objectKey, raw json.RawMessage, deleted bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.objects[key] = raw
	if deleted {
		delete(h.objects, key)
	}
	h.log = append(h.log, logged{key, raw, deleted})
	h.woken()
}

func (h *fakeHub) woken() {
	close(h.wake)
	h.wake = make(chan struct{})
}

// cutStreams ends every stream as a hub does that stops.
func (h *fakeHub) cutStreams() {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.cut)
	h.cut = make(chan struct{})
}

// forget makes every watch token given so far unknown, and ends the streams.
func (h *fakeHub) forget() {
	h.mu.Lock()
	h.oldest = len(h.log) + 1
	h.log = append(h.log, logged{})
	h.mu.Unlock()
	h.cutStreams()
}

// emit makes an event happen.
func (h *fakeHub) emit(e *adminv1.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
	h.woken()
}

// requestsOf are the requests of one type, in the order they came.
func requestsOf[T proto.Message](h *fakeHub) []T {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []T
	for _, request := range h.requests {
		if r, ok := request.(T); ok {
			all = append(all, r)
		}
	}
	return all
}

func keyOf(o *object) objectKey {
	r := o.ref()
	return objectKey{o.Kind, r.namespace, r.name, r.cluster}
}

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
		Object: r.GetObject(), Change: adminv1.Change_CHANGE_CREATED, Warnings: f.warnings, Impact: f.impacts[key.name],
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

// everyCluster is what a Placement means that selects all.
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
	f.mu.Lock()
	begun := len(f.log)
	f.mu.Unlock()
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
			if change.deleted && r.GetCluster() != "" && at <= begun {
				change.key.kind = "" // a hub does not know which instances there were
			}
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
