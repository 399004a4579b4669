package api_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"flotilla.dev/flotilla/hub/store"
	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// heard is what the clusters say to a question: an answer, or "code: error".
func (b *bundle) heard(req *adminv1.AskRequest) (map[string]string, error) {
	b.t.Helper()
	stream, err := adminv1.NewQuestionsServiceClient(b.conn).Ask(b.ctx, req)
	if err != nil {
		return nil, err
	}
	said := map[string]string{}
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return said, nil
		}
		if err != nil {
			return nil, err
		}
		if part.GetError() != "" {
			said[part.GetCluster()] = codes.Code(part.GetCode()).String() + ": " + part.GetError()
		} else {
			said[part.GetCluster()] += string(part.GetChunk())
		}
	}
}

// answering answers the questions to a cluster as its spoke would, until the test ends.
func (b *bundle) answering(cluster string, answer func(fleet.Ask) string) {
	b.t.Helper()
	statuses, err := b.ClusterStatuses(b.ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	id := statuses[cluster].ID
	wake, stop := b.Watch(store.TopicCluster(id))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for b.ctx.Err() == nil {
			questions, err := b.TakeQuestions(b.ctx, id)
			if err == nil {
				for _, q := range questions {
					err := b.StoreAnswer(b.ctx, id, q.ID, []byte(answer(q.Ask)), "")
					if err != nil && b.ctx.Err() == nil && !errors.Is(err, fleet.ErrNotFound) { // that is one that is late
						b.t.Errorf("answer: %v", err)
					}
				}
			}
			select {
			case <-b.ctx.Done():
			case <-wake:
			}
		}
	}()
	b.t.Cleanup(func() { <-done; stop() }) // the context has ended by then
}

func TestQuestionGoesToEveryClusterThatHasTheAppAndSaysWhoCannotAnswer(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.running()
	long := strings.Repeat("x", 3<<20) // in parts
	b.report("prod-1", func(*fleet.Report) {})
	b.answering("prod-1", func(ask fleet.Ask) string { return ask.What + " " + ask.App.String() + long })
	tree := &adminv1.AskRequest{Kind: "Kustomization", Namespace: "apps", Name: "app", Ask: &adminv1.AskRequest_Tree{Tree: &adminv1.TreeAsk{}}}
	said, err := b.heard(tree)
	if err != nil {
		t.Fatal(err)
	}
	if len(said) != 2 || said["prod-1"] != "tree "+appKey.String()+long || said["prod-2"] != "Unavailable: not available now: its spoke has never connected" {
		t.Errorf("prod-1 says %d bytes, prod-2 %q", len(said["prod-1"]), said["prod-2"])
	}
	b.report("prod-2", func(*fleet.Report) {})
	tree.Timeout = durationpb.New(50 * time.Millisecond)
	if said, err := b.heard(tree); err != nil || !strings.Contains(said["prod-2"], "did not answer in time") {
		t.Errorf("of a spoke that does not answer: %v, %q", err, said["prod-2"])
	}
	b.silence("prod-2")
	if said, err := b.heard(tree); err != nil || !strings.Contains(said["prod-2"], "it is not connected, unheard for") {
		t.Errorf("of a silent one: %v, %q", err, said["prod-2"])
	}
}

func TestDeclaredDiffIsAskedUnderWhatIsDeclared(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.running()
	b.report("prod-1", func(*fleet.Report) {})
	b.answering("prod-1", func(ask fleet.Ask) string {
		return ask.What + " of " + string(ask.Documents) + " under " + string(ask.Terms.Encode())
	})
	said, err := b.heard(declaredDiff("app", `"prune":false,"force":true,"postBuild":{"substitute":{"A":"b"}}`))
	want := `declared-diff of documents under {"pruneGuard":"3","force":true,"postBuild":{"substitute":{"A":"b"}}}`
	if err != nil || said["prod-1"] != want {
		t.Errorf("asked was %q, want %q, error %v", said["prod-1"], want, err)
	}
}

// declaredDiff asks about ks/app in prod-1 as if it were declared so, under some name.
func declaredDiff(name, spec string) *adminv1.AskRequest {
	declared := fmt.Appendf(nil, `{"apiVersion":"kustomize.toolkit.fluxcd.io/v1","kind":"Kustomization","metadata":{"name":%q,"namespace":"apps","annotations":{"fleet.flotilla.dev/prune-guard":"3"}},
		"spec":{"interval":"10m","sourceRef":{"kind":"GitRepository","name":"app"},%s}}`, name, spec)
	return &adminv1.AskRequest{Kind: "Kustomization", Namespace: "apps", Name: "app", Cluster: "prod-1", Ask: &adminv1.AskRequest_DeclaredDiff{
		DeclaredDiff: &adminv1.DeclaredDiffAsk{Documents: []byte("documents"), Declared: declared}}}
}

func TestQuestionThatMakesNoSenseIsRefused(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.running()
	tree, trace := &adminv1.AskRequest_Tree{Tree: &adminv1.TreeAsk{}}, &adminv1.AskRequest_Trace{Trace: &adminv1.TraceAsk{Word: "pod", Name: "a"}}
	for _, test := range []struct {
		req  *adminv1.AskRequest
		code codes.Code
		want string
	}{
		{&adminv1.AskRequest{Kind: "Kustomization", Namespace: "apps", Name: "app"}, codes.InvalidArgument, "nothing is asked"},
		{&adminv1.AskRequest{Kind: "Kustomization", Namespace: "apps", Name: "none", Ask: tree}, codes.NotFound, "none"},
		{&adminv1.AskRequest{Kind: "Kustomization", Namespace: "apps", Name: "app", Cluster: "nowhere", Ask: tree}, codes.NotFound, "nowhere"},
		{&adminv1.AskRequest{Kind: "Kustomization", Namespace: "apps", Name: "app", Cluster: "dev-1", Ask: tree}, codes.NotFound, "not placed there"},
		{&adminv1.AskRequest{Kind: "GitRepository", Namespace: "apps", Name: "app", Ask: tree}, codes.InvalidArgument, "no objects in a cluster"},
		{&adminv1.AskRequest{Kind: "Kustomization", Namespace: "apps", Name: "app", Ask: &adminv1.AskRequest_HelmValues{}}, codes.InvalidArgument, "a HelmRelease has values, not a Kustomization"},
		{&adminv1.AskRequest{Kind: "Kustomization", Namespace: "apps", Name: "app", Ask: &adminv1.AskRequest_HelmHistory{}}, codes.InvalidArgument, "a HelmRelease has versions, not a Kustomization"},
		{&adminv1.AskRequest{Kind: "HelmRelease", Namespace: "apps", Name: "app", Ask: &adminv1.AskRequest_Variables{}}, codes.InvalidArgument, "a Kustomization has variables, not a HelmRelease"},
		{&adminv1.AskRequest{Ask: trace}, codes.InvalidArgument, "in one cluster"},
		{&adminv1.AskRequest{Cluster: "nowhere", Ask: trace}, codes.NotFound, "nowhere"},
		{&adminv1.AskRequest{Cluster: "prod-1", Timeout: durationpb.New(-1), Ask: trace}, codes.InvalidArgument, "timeout"},
		{declaredDiff("other", `"prune":true`), codes.InvalidArgument, "asked is about Kustomization/apps/app, and declared is Kustomization/apps/other"},
		{declaredDiff("app", `"prune":true,"ignore":[{"paths":["no/slash"]}]`), codes.InvalidArgument, "spec.ignore[0].paths[0]"},
		{declaredDiff("app", `"force":true`), codes.InvalidArgument, "spec.prune"},
	} {
		_, err := b.heard(test.req)
		wantCode(t, err, test.code, test.want)
	}
}
