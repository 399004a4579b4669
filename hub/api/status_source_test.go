package api_test

import (
	"encoding/json"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// status is an object's status as it is given out, decoded into something that has the fields of interest.
func (b *bundle) status(kind, namespace, name string, into any) {
	b.t.Helper()
	resp, err := b.objects.Get(b.ctx, &adminv1.GetRequest{Kind: kind, Namespace: namespace, Name: name})
	if err != nil {
		b.t.Fatal(err)
	}
	var o struct {
		Status json.RawMessage `json:"status"`
	}
	if err := json.Unmarshal(resp.GetObject(), &o); err != nil {
		b.t.Fatal(err)
	}
	if err := json.Unmarshal(o.Status, into); err != nil {
		b.t.Fatal(err)
	}
}

var times = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`)

// conditionList is what a status says of its conditions, "Type Status Reason: message" each, times left out.
type conditionList []string

func (l *conditionList) UnmarshalJSON(data []byte) error {
	var conditions []struct {
		Type, Status, Reason, Message string
		ObservedGeneration            int64
		LastTransitionTime            time.Time
	}
	err := json.Unmarshal(data, &conditions)
	for _, c := range conditions {
		*l = append(*l, c.Type+" "+c.Status+" "+c.Reason+": "+times.ReplaceAllString(c.Message, "TIME"))
	}
	return err
}

func TestStatusOfASourceIsFluxs(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(gitYAML)
	type artifact struct {
		Revision, Digest string
		LastUpdateTime   time.Time
	}
	type sourceStatus struct {
		ObservedGeneration     int64
		Conditions             conditionList
		Artifact               *artifact
		LastHandledReconcileAt string
	}
	upstream, tree := fleet.DigestOf([]byte("upstream")), fleet.DigestOf([]byte("tree"))
	bind := func(id fleet.Digest, reason, message, failure string) {
		t.Helper()
		if err := b.BindSource(b.ctx, fleet.Meant{Kind: "GitRepository", Namespace: "apps", Name: "app", Generation: 1, Upstream: id, Remote: id, Reason: reason, Message: message, Failure: failure}); err != nil {
			t.Fatal(err)
		}
	}
	look := func(found fleet.Looked) {
		t.Helper()
		b.exec(`UPDATE upstream SET due_at = now()`)
		if _, err := b.ClaimUpstreams(b.ctx, 1, nil); err != nil {
			t.Fatal(err)
		}
		if err := b.SaveLook(b.ctx, upstream, found, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	stored := artifact{Revision: "main@sha1:1", Digest: tree.String()}
	const good = "True Succeeded: stored artifact for revision 'main@sha1:1'"
	const stale = "; what is deployed is main@sha1:1, fetched TIME, stale since TIME"
	for _, step := range []struct {
		name   string
		change func()
		want   sourceStatus
	}{
		{"nobody looked", func() {}, sourceStatus{ObservedGeneration: -1, Conditions: conditionList{
			"Ready Unknown Progressing: waiting to be fetched", "Reconciling True Progressing: waiting to be fetched"}}},
		{"its Secret is missing", func() {
			bind(fleet.Digest{}, "AuthenticationFailed", "Secret/apps/git is not given to the hub", "auth")
		},
			sourceStatus{ObservedGeneration: 1, Conditions: conditionList{
				"Ready False AuthenticationFailed: Secret/apps/git is not given to the hub", "Reconciling True ProgressingWithRetry: Secret/apps/git is not given to the hub",
				"FetchFailed True AuthenticationFailed: Secret/apps/git is not given to the hub"}}},
		{"it is made of itself", func() { bind(fleet.Digest{}, "InvalidSpec", "it is made of itself", "invalid") },
			sourceStatus{ObservedGeneration: 1, Conditions: conditionList{
				"Ready False InvalidSpec: it is made of itself", "FetchFailed True InvalidSpec: it is made of itself", "Stalled True InvalidSpec: it is made of itself"}}},
		{"bound", func() { bind(upstream, "", "", "") }, sourceStatus{ObservedGeneration: 1, Conditions: conditionList{
			"Ready Unknown Progressing: waiting to be fetched", "Reconciling True Progressing: waiting to be fetched"}}},
		{"fetched", func() { look(fleet.Looked{Revision: "main@sha1:1", Tree: tree}) },
			sourceStatus{ObservedGeneration: 1, Artifact: &stored, Conditions: conditionList{"Ready " + good, "ArtifactInStorage " + good}}},
		{"a request was served", func() {
			if err := b.SourceHandled(b.ctx, "GitRepository", "apps", "app", "now"); err != nil {
				t.Fatal(err)
			}
		}, sourceStatus{ObservedGeneration: 1, Artifact: &stored, LastHandledReconcileAt: "now", Conditions: conditionList{"Ready " + good, "ArtifactInStorage " + good}}},
		{"away", func() { look(fleet.Looked{Reason: "GitOperationFailed", Message: "refused"}) },
			sourceStatus{ObservedGeneration: 1, Artifact: &stored, LastHandledReconcileAt: "now", Conditions: conditionList{
				"Ready False GitOperationFailed: refused" + stale, "Reconciling True ProgressingWithRetry: refused" + stale,
				"FetchFailed True GitOperationFailed: refused" + stale, "ArtifactInStorage " + good}}},
		{"never to work", func() {
			look(fleet.Looked{Reason: "GitOperationFailed", Message: "not a name of a branch", Terminal: true})
		},
			sourceStatus{ObservedGeneration: 1, Artifact: &stored, LastHandledReconcileAt: "now", Conditions: conditionList{
				"Ready False GitOperationFailed: not a name of a branch" + stale, "FetchFailed True GitOperationFailed: not a name of a branch" + stale,
				"Stalled True GitOperationFailed: not a name of a branch" + stale, "ArtifactInStorage " + good}}},
	} {
		began := time.Now().Truncate(time.Microsecond)
		step.change()
		var got sourceStatus
		b.status("GitRepository", "apps", "app", &got)
		if got.Artifact != nil {
			if step.name == "fetched" && got.Artifact.LastUpdateTime.Before(began) {
				t.Errorf("fetched at %s, before it was", got.Artifact.LastUpdateTime)
			}
			got.Artifact.LastUpdateTime = time.Time{}
		}
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
	}
}
