package api_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"

	"flotilla.dev/flotilla/pkg/flux"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

const receiverYAML = `{"apiVersion":"notification.toolkit.fluxcd.io/v1","kind":"Receiver","metadata":{"name":"app","namespace":"apps"},
	"spec":{"type":"github","events":["push"],"secretRef":{"name":"webhook"},"resources":[{"kind":"GitRepository","name":"app"}],"resourceFilter":"req.ref == 'refs/heads/main'"}}`

func TestStatusOfAReceiverIsFluxs(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	type receiverStatus struct {
		ObservedGeneration                  int64
		Conditions                          conditionList
		WebhookPath, LastHandledReconcileAt string
	}
	path := flux.WebhookPath("hunter2", "app", "apps")
	waiting := conditionList{
		"Ready False TokenNotFound: spec.secretRef: Secret/apps/webhook is not given to the hub: apply it, with the key token",
		"Reconciling True ProgressingWithRetry: spec.secretRef: Secret/apps/webhook is not given to the hub: apply it, with the key token"}
	requested := ""
	for _, step := range []struct {
		name   string
		change func()
		want   receiverStatus
	}{
		{"without its Secret", func() { b.apply(receiverYAML) }, receiverStatus{ObservedGeneration: 1, Conditions: waiting}},
		{"with its Secret", func() {
			b.apply(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"webhook","namespace":"apps"},"stringData":{"token":"hunter2"}}`)
		}, receiverStatus{ObservedGeneration: 1, WebhookPath: path, Conditions: conditionList{"Ready True Succeeded: Receiver initialized for path: " + path}}},
		{"changed", func() { b.apply(strings.Replace(receiverYAML, "push", "ping", 1)) },
			receiverStatus{ObservedGeneration: 2, WebhookPath: path, Conditions: conditionList{"Ready True Succeeded: Receiver initialized for path: " + path}}},
		{"with an expression that an older hub took", func() {
			b.exec(`UPDATE object SET spec = jsonb_set(spec, '{resourceFilter}', '"req."') WHERE kind = 'Receiver'`)
		}, receiverStatus{ObservedGeneration: 2, WebhookPath: path, Conditions: conditionList{
			"Ready False InvalidCELExpression: spec.resourceFilter: does not compile as CEL: line 1, column 5: Syntax error: no viable alternative at input '.'",
			"Stalled True InvalidCELExpression: spec.resourceFilter: does not compile as CEL: line 1, column 5: Syntax error: no viable alternative at input '.'"}}},
	} {
		step.change()
		var got receiverStatus
		b.status("Receiver", "apps", "app", &got)
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
	}
	b.apply(receiverYAML)
	response, err := b.apps.Reconcile(b.ctx, &adminv1.ReconcileRequest{Kind: "Receiver", Namespace: "apps", Name: "app"})
	if err != nil {
		t.Fatal(err)
	}
	requested = response.GetRequestedAt()
	var got receiverStatus
	b.status("Receiver", "apps", "app", &got)
	if got.LastHandledReconcileAt != requested || requested == "" {
		t.Errorf("requested at %q, handled %q", requested, got.LastHandledReconcileAt)
	}
	if _, err := b.apps.Suspend(b.ctx, &adminv1.SuspendRequest{Kind: "Receiver", Namespace: "apps", Name: "app"}); err != nil {
		t.Fatal(err)
	}
	_, err = b.apps.Reconcile(b.ctx, &adminv1.ReconcileRequest{Kind: "Receiver", Namespace: "apps", Name: "app"})
	wantCode(t, err, codes.FailedPrecondition, "it is suspended")
	if _, err := b.apps.Resume(b.ctx, &adminv1.ResumeRequest{Kind: "Receiver", Namespace: "apps", Name: "app"}); err != nil {
		t.Fatal(err)
	}
}

func TestAReceiverWhoseExpressionDoesNotCompileIsRefused(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	for filter, want := range map[string]string{
		"req.": "Receiver/apps/app: spec.resourceFilter: does not compile as CEL", "req.ref": "Receiver/apps/app: spec.resourceFilter: is of type dyn",
		"claims.sub == 'x'": "undeclared reference to 'claims'",
	} {
		_, err := b.try(strings.Replace(receiverYAML, "req.ref == 'refs/heads/main'", filter, 1))
		wantCode(t, err, codes.InvalidArgument, want)
	}
}

func TestAReceiverWithoutItsSecretIsATrouble(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(receiverYAML)
	status, err := adminv1.NewHubServiceClient(b.conn).Status(b.ctx, &adminv1.StatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if troubles := status.GetTroubles(); len(troubles) != 1 || troubles[0].GetObject() != "Receiver/apps/app" {
		t.Errorf("troubles are %v", troubles)
	}
}
