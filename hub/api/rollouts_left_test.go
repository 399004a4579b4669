package api_test

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// canaryAlone is a policy that leaves out what is no canary.
const canaryAlone = `{"waves":[{"name":"canary","select":{"matchLabels":{"tier":"canary"}},"after":[{"approval":{"name":"go"}}]}],` +
	`"unmatched":"Exclude","maxUnavailable":"100%","onFailure":{"allowUninstall":true}}`

func TestRolloutUnderWayTellsWhichClustersItIsNotAboutAndWhy(t *testing.T) {
	t.Parallel()
	f := newRolled(t, canaryAlone)
	others := func(request *adminv1.ListNotTargetedRequest) string {
		t.Helper()
		var lines []string
		for {
			page, err := f.rollouts.ListNotTargeted(f.ctx, request)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range page.GetNotTargeted() {
				lines = append(lines, c.GetCluster()+": "+c.GetWhy())
			}
			if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
				return strings.Join(lines, "\n")
			}
		}
	}
	_, err := f.rollouts.ListNotTargeted(f.ctx, &adminv1.ListNotTargetedRequest{App: appRollout()})
	wantCode(t, err, codes.NotFound, "none has begun yet")
	f.push("one")
	r := f.waiting()
	f.apply(clusterYAML("canary-2", "canary"))
	const wanted = "canary-2: it came when the Rollout had begun: it gets what is stable, outside of the waves\n" +
		"dev-1: Placement app does not choose it\n" +
		"prod-1: no wave takes it, and spec.unmatched is Exclude\n" +
		"prod-2: no wave takes it, and spec.unmatched is Exclude"
	for _, request := range []*adminv1.ListNotTargetedRequest{
		{App: appRollout()}, {App: &adminv1.AppRollout{Id: r.GetId()}}, {App: appRollout(), PageSize: 1},
	} {
		if got := others(request); got != wanted {
			t.Errorf("of %v:\n%s", request, got)
		}
	}
	f.approved()
	if got := others(&adminv1.ListNotTargetedRequest{App: appRollout()}); got != "" {
		t.Errorf("of one that is over:\n%s", got)
	}
}
