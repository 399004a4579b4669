package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func TestPlanIsReadAnewWhenItBecomesAnotherWhileItIsRead(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	b.hub.rolled.plan = testPlan()
	b.hub.rolled.left = append(b.hub.rolled.left, &adminv1.NotTargeted{Cluster: "lab-2", Why: "it is held:\nits disk"})
	b.hub.rolled.planPage, b.hub.rolled.replans = 4, 2
	r := b.ok("rollout", "plan", "ks/app")
	wantTexts(t, "stdout", r.stdout, "us-1 us-2 us-3\nNOT TARGETED  2 clusters\n  lab-1: its labels do not match\n  lab-2: it is held: its disk")
	d := parseJSON(t, b.ok("rollout", "plan", "ks/app", "-o", "json").stdout)
	if clusters, left := d["clusters"].([]any), d["notTargeted"].([]any); len(clusters) != 9 || len(left) != 2 || left[1].(map[string]any)["cluster"] != "lab-2" {
		t.Errorf("-o json gives %v and %v", clusters, left)
	}
	b.hub.rolled.replans = 1000
	b.fails(exitPrecondition, []string{"the plan is another one now"}, "rollout", "plan", "ks/app")
}

func TestWhatIsFrozenIsToldWholeHoweverManyPagesItHas(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	b.hub.put(t, strings.ReplaceAll(clusterProd, "prod-1", "prod-2")+"---\n"+strings.ReplaceAll(clusterProd, "prod-1", "canary-1"))
	r := b.ok("freeze", "canary-1", "prod-1", "prod-2", "--reason", "network")
	wantTexts(t, "stdout", r.stdout, "canary-1", "prod-1")
	wantTexts(t, "stderr", r.stderr, "and 1 more cluster: fleetctl freeze --show")
	wantTexts(t, "stdout", b.ok("freeze", "--show").stdout, "canary-1", "prod-1", "prod-2")
	if d := parseJSON(t, b.ok("freeze", "--show", "-o", "json").stdout); len(d["clusters"].([]any)) != 3 || d["more"] != nil {
		t.Errorf("-o json gives %v", d)
	}
	wantTexts(t, "stdout", b.ok("status").stdout, "FROZEN     canary-1, prod-1, prod-2")
}

func TestRolloutStatusNamesTheFirstClustersThatItIsNotAboutOrAll(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	for _, name := range []string{"lab-2", "lab-3", "lab-4"} {
		b.hub.rolled.left = append(b.hub.rolled.left, &adminv1.NotTargeted{Cluster: name, Why: "no wave takes it"})
	}
	status := func(more ...string) string {
		return b.ok(append([]string{"rollout", "status", "ks/app", "--watch=false"}, more...)...).stdout
	}
	wantTexts(t, "stdout", status(), "  not targeted: lab-1: its labels do not match; lab-2: no wave takes it; lab-3: no wave takes it; and more: fleetctl rollout status ro-7k2f --watch=false -o wide\n")
	wantTexts(t, "wide", status("-o", "wide"), "NOT TARGETED  4 clusters\n  lab-1: its labels do not match\n", "  lab-4: no wave takes it\n")
	if left := parseJSON(t, status("-o", "json"))["notTargeted"].([]any); len(left) != 4 || left[3].(map[string]any)["why"] != "no wave takes it" {
		t.Errorf("-o json gives %v", left)
	}
	b.hub.changeRollout(t, "ro-7k2f", succeed)
	if text := status(); strings.Contains(text, "not targeted") {
		t.Errorf("of one that is over:\n%s", text)
	}
}

func TestPagesAreReadFromTheFirstUntilTheLastOrAnErrorOrNoMoreAreWanted(t *testing.T) {
	t.Parallel()
	next := map[string]string{"": "two", "two": "three"}
	lost := errors.New("lost")
	for name, test := range map[string]struct {
		fails bool // at the second
		wants int
		asked []string
		last  error
	}{
		"all": {false, 9, []string{"", "two", "three"}, nil}, "an error": {true, 9, []string{"", "two"}, lost}, "two are enough": {false, 2, []string{"", "two"}, nil},
	} {
		var asked []string
		list := func(_ context.Context, r *adminv1.GetFreezeRequest, _ ...grpc.CallOption) (*adminv1.GetFreezeResponse, error) {
			asked = append(asked, r.GetPageToken())
			if test.fails && r.GetPageToken() == "two" {
				return nil, lost
			}
			return &adminv1.GetFreezeResponse{NextPageToken: next[r.GetPageToken()]}, nil
		}
		request := &adminv1.GetFreezeRequest{PageToken: "where it was read to before"}
		var last error
		read := 0
		for _, err := range pages(t.Context(), list, request, &request.PageToken) {
			if last, read = err, read+1; read == test.wants {
				break
			}
		}
		if !slices.Equal(asked, test.asked) || !errors.Is(last, test.last) {
			t.Errorf("%s: asked for %q, and at last %v", name, asked, last)
		}
	}
}
