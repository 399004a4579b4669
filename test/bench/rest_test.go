package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"flotilla.dev/flotilla/test/lab"
)

func TestRequestsAreCountedByVerbAndResource(t *testing.T) {
	t.Parallel()
	got := countRequests(lab.Requests{
		{Verb: "update", Group: "coordination.k8s.io", Resource: "leases", Path: "/apis/a"},
		{Verb: "update", Group: "coordination.k8s.io", Resource: "leases", Path: "/apis/b"},
		{Verb: "get", Resource: "configmaps"},
		{Verb: "patch", Group: "apps", Resource: "deployments", Subresource: "status"},
		{Verb: "get", Path: "/version"},
	})
	want := map[string]int{
		"update leases.coordination.k8s.io": 2,
		"get configmaps":                    1,
		"patch deployments.apps/status":     1,
		"get /version":                      1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}
