package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"sigs.k8s.io/yaml"

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
	failures map[string]error // by method, such as "Apply"
	requests []proto.Message

	held       []*adminv1.HeldSet
	answers    map[string]any // of clusters to questions, as JSON; an error in place of one
	status     *adminv1.StatusResponse
	register   func(*adminv1.RegisterRequest) (*adminv1.RegisterResponse, error)
	breakAfter string                          // reason of the event after which a stream ends, once
	asked      func(*adminv1.ReconcileRequest) // runs after a Reconcile is recorded
	listed     func(*adminv1.ListRequest)      // runs before a List is answered, with what was there before it
	applied    func(*adminv1.ApplyRequest)     // runs after an Apply that is no dry run
	deleted    func(*adminv1.DeleteRequest)    // runs after a Delete that is no dry run
	orders     bool                            // a Delete of an instance that is not there is an order to its spoke
	source     *adminv1.ReconcileResponse      // the Source a Reconcile answers with
	pushes     []pushed                        // that came
	rolled     rolledOut
	history    []*adminv1.HistoryEntry // of every App
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
		rolled: rolledOut{frozen: &adminv1.GetFreezeResponse{}, targets: &adminv1.ListTargetsResponse{},
			left: []*adminv1.NotTargeted{{Cluster: "lab-1", Why: "its labels do not match"}}},
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
		adminv1.RegisterQuestionsServiceServer(s, &fakeQuestions{fakeHub: h})
		adminv1.RegisterArtifactsServiceServer(s, &fakeArtifacts{fakeHub: h})
		adminv1.RegisterHubServiceServer(s, &fakeAdmin{fakeHub: h})
		adminv1.RegisterRolloutsServiceServer(s, &fakeRollouts{fakeHub: h})
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

// removeInstances deletes an App's instances and tells the watchers.
func (h *fakeHub) removeInstances(kind, namespace, name string) {
	for _, cluster := range h.clustersOf(kind, name) {
		h.remove(kind, namespace, name, cluster)
	}
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
func (h *fakeHub) emit(events ...*adminv1.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, events...)
	h.woken()
}

// breakAt ends the next stream of events after the event of that reason.
func (h *fakeHub) breakAt(reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.breakAfter = reason
}

// breaks reports whether a stream of events ends after the event.
func (h *fakeHub) breaks(e *adminv1.Event) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.breakAfter == "" || h.breakAfter != e.GetReason() {
		return false
	}
	h.breakAfter = ""
	return true
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
