package api_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func TestPagesAddUpToTheList(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	for i := range 7 {
		b.apply(clusterYAML(fmt.Sprintf("c-%d", i), "prod"))
	}
	var names []string
	for token := ""; ; {
		resp, err := b.objects.List(b.ctx, &adminv1.ListRequest{Kind: "Cluster", Limit: 3, PageToken: token, LabelSelector: "tier in (prod, canary)"})
		if err != nil {
			t.Fatal(err)
		}
		for _, raw := range resp.GetObjects() {
			var o shown
			if err := json.Unmarshal(raw, &o); err != nil {
				t.Fatal(err)
			}
			names = append(names, o.Metadata.Name)
		}
		if token = resp.GetNextPageToken(); token == "" {
			break
		}
	}
	if len(names) != 7 || !slices.IsSorted(names) {
		t.Errorf("names %v", names)
	}
}

// A HelmRelease may have a MiB of values, and a message has 4 MiB.
func TestPagesOfLargeObjectsFitIntoMessages(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	for i := range 5 {
		b.apply(helmReleaseYAML(fmt.Sprintf("web-%d", i), `,"values":{"text":"`+strings.Repeat("x", 1<<20-100)+`"}`))
	}
	var pages []int
	for token := ""; ; {
		resp, err := b.objects.List(b.ctx, &adminv1.ListRequest{Kind: "HelmRelease", PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, len(resp.GetObjects()))
		if token = resp.GetNextPageToken(); token == "" {
			break
		}
	}
	if !slices.Equal(pages, []int{1, 1, 1, 1, 1}) {
		t.Errorf("the pages have %v objects", pages)
	}
}

func TestWatchContinuesFromTheList(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(clusterYAML("old", "prod"))
	list, err := b.objects.List(b.ctx, &adminv1.ListRequest{Kind: "Cluster"})
	if err != nil {
		t.Fatal(err)
	}
	b.apply(clusterYAML("between", "prod"))
	if _, err := b.objects.Delete(b.ctx, &adminv1.DeleteRequest{Kind: "Cluster", Name: "old", Now: true}); err != nil {
		t.Fatal(err)
	}
	watch, err := b.objects.Watch(b.ctx, &adminv1.WatchRequest{Kind: "Cluster", WatchToken: list.GetWatchToken()})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]adminv1.WatchEvent{}
	next := func(name string) {
		t.Helper()
		for got[name] == 0 {
			resp, err := watch.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if resp.GetEvent() == adminv1.WatchEvent_WATCH_EVENT_BOOKMARK {
				continue
			}
			var o shown
			if err := json.Unmarshal(resp.GetObject(), &o); err != nil {
				t.Fatal(err)
			}
			got[o.Metadata.Name] = resp.GetEvent()
		}
	}
	next("between")
	next("old")
	b.apply(clusterYAML("after", "prod"))
	next("after")
	if got["between"] != adminv1.WatchEvent_WATCH_EVENT_CHANGED || got["old"] != adminv1.WatchEvent_WATCH_EVENT_DELETED {
		t.Errorf("events %v", got)
	}
	foreign, err := b.objects.Watch(b.ctx, &adminv1.WatchRequest{Kind: "Cluster", WatchToken: "other.1"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = foreign.Recv()
	wantCode(t, err, codes.OutOfRange, "list again")
}
