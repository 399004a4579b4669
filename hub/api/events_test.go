package api_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func TestEventsOfAMisspeltClusterAreNotFoundAndThoseOfAForgottenOneAreListed(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(clusterYAML("idle", "prod"))
	if err := b.AddEvent(b.ctx, fleet.FleetEvent{Kind: "Cluster", Name: "forgotten", Cluster: "forgotten"}); err != nil {
		t.Fatal(err)
	}
	client := adminv1.NewEventsServiceClient(b.conn)
	list := func(cluster string, warnings bool) (int, error) {
		resp, err := client.List(b.ctx, &adminv1.EventsServiceListRequest{Filter: &adminv1.EventFilter{Cluster: cluster, Warnings: warnings}})
		return len(resp.GetEvents()), err
	}
	_, err := list("typo", false)
	wantCode(t, err, codes.NotFound, "Cluster/typo: not found")
	for _, tc := range []struct {
		cluster  string
		warnings bool
		want     int
	}{{"idle", false, 0}, {"forgotten", false, 1}, {"forgotten", true, 0}} {
		if got, err := list(tc.cluster, tc.warnings); err != nil || got != tc.want {
			t.Errorf("%+v: %d events, error %v", tc, got, err)
		}
	}
}

// Fewer events than were asked for, without a word, would be taken for all there are.
func TestMoreEventsThanTheHubListsAreRefused(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	client := adminv1.NewEventsServiceClient(b.conn)
	_, err := client.List(b.ctx, &adminv1.EventsServiceListRequest{Limit: 501})
	wantCode(t, err, codes.InvalidArgument, "limit 501: invalid: at most 500 events")
	for i := range 3 {
		if err := b.AddEvent(b.ctx, fleet.FleetEvent{Kind: "Kustomization", Namespace: "apps", Name: "app", Reason: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	for limit, want := range map[uint32]int{0: 3, 2: 2, 500: 3} {
		list, err := client.List(b.ctx, &adminv1.EventsServiceListRequest{Limit: limit})
		if err != nil || len(list.GetEvents()) != want {
			t.Errorf("limit %d: %d events, error %v; want %d", limit, len(list.GetEvents()), err, want)
		}
	}
}

func TestEventIsWatchedOnce(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	client := adminv1.NewEventsServiceClient(b.conn)
	list, err := client.List(b.ctx, &adminv1.EventsServiceListRequest{})
	if err != nil {
		t.Fatal(err)
	}
	watch, err := client.Watch(b.ctx, &adminv1.EventsServiceWatchRequest{WatchToken: list.GetWatchToken(), Filter: &adminv1.EventFilter{Kind: "Kustomization"}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := b.AddEvent(b.ctx, fleet.FleetEvent{Kind: "Kustomization", Namespace: "apps", Name: "app", Reason: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
		if got := nextEvent(t, watch).GetEvent().GetReason(); got != fmt.Sprint(i) {
			t.Errorf("event %s, want %d", got, i)
		}
	}
}

func nextEvent(t *testing.T, watch adminv1.EventsService_WatchClient) *adminv1.EventsServiceWatchResponse {
	t.Helper()
	for {
		resp, err := watch.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if resp.GetEvent() != nil {
			return resp
		}
	}
}

func TestEventsAfterABrokenStreamAreWatchedFromItsLastToken(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	client := adminv1.NewEventsServiceClient(b.conn)
	list, err := client.List(b.ctx, &adminv1.EventsServiceListRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := b.AddEvent(b.ctx, fleet.FleetEvent{Kind: "Kustomization", Namespace: "apps", Name: "app", Reason: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	token, seen := list.GetWatchToken(), map[string]bool{}
	for range 3 {
		ctx, cancel := context.WithTimeout(b.ctx, patience)
		watch, err := client.Watch(ctx, &adminv1.EventsServiceWatchRequest{WatchToken: token})
		if err != nil {
			t.Fatal(err)
		}
		for { // breaks at the first that is new
			resp := nextEvent(t, watch)
			token = resp.GetWatchToken()
			if reason := resp.GetEvent().GetReason(); !seen[reason] {
				seen[reason] = true
				break
			}
		}
		cancel()
	}
}

func TestEventsAreFilteredByTime(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	client := adminv1.NewEventsServiceClient(b.conn)
	at := time.Now().Truncate(time.Second)
	for reason, age := range map[string]time.Duration{"Old": 2 * time.Hour, "New": time.Minute} {
		if err := b.AddEvent(b.ctx, fleet.FleetEvent{At: at.Add(-age), Kind: "Kustomization", Namespace: "apps", Name: "app", Reason: reason}); err != nil {
			t.Fatal(err)
		}
	}
	for since, want := range map[*timestamppb.Timestamp]int{nil: 2, timestamppb.New(at.Add(-time.Hour)): 1, timestamppb.New(at): 0} {
		list, err := client.List(b.ctx, &adminv1.EventsServiceListRequest{Filter: &adminv1.EventFilter{Since: since}})
		if err != nil {
			t.Fatal(err)
		}
		if got := len(list.GetEvents()); got != want {
			t.Errorf("since %v: %d events, want %d", since, got, want)
		}
	}
}
