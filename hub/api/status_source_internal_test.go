package api

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
)

func TestEveryKindOfSourceFailsInFluxsWords(t *testing.T) {
	t.Parallel()
	tree := fleet.DigestOf([]byte("tree"))
	for _, test := range []struct {
		kind, failure, reason string
		waiting, terminal     bool
		want                  []string
	}{
		{"GitRepository", "connect", "GitOperationFailed", false, false, []string{"Ready=False", "Reconciling=True", "FetchFailed=True", "ArtifactInStorage=True"}},
		{"GitRepository", "auth", "AuthenticationFailed", false, false, []string{"Ready=False", "Reconciling=True", "FetchFailed=True", "ArtifactInStorage=True"}},
		{"GitRepository", "invalid", "InvalidSpec", false, true, []string{"Ready=False", "FetchFailed=True", "Stalled=True", "ArtifactInStorage=True"}},
		{"GitRepository", "signature", "VerificationError", false, false, []string{"Ready=False", "Reconciling=True", "SourceVerified=False", "ArtifactInStorage=True"}},
		{"GitRepository", "input", "NotFound", false, false, []string{"Ready=False", "Reconciling=True", "IncludeUnavailable=True", "ArtifactInStorage=True"}},
		{"OCIRepository", "store", "StorageOperationFailed", false, false, []string{"Ready=False", "Reconciling=True", "StorageOperationFailed=True", "ArtifactInStorage=True"}},
		{"OCIRepository", "content", "OCIArtifactLayerOperationFailed", false, false, []string{"Ready=False", "Reconciling=True", "FetchFailed=True", "ArtifactInStorage=True"}},
		{"HelmChart", "content", "ChartPackageError", false, false, []string{"Ready=False", "Reconciling=True", "BuildFailed=True", "ArtifactInStorage=True"}},
		{"HelmChart", "input", "NoSourceArtifact", true, false, []string{"Ready=Unknown", "Reconciling=True", "ArtifactInStorage=True"}},
		{"HelmChart", "input", "SourceUnavailable", false, false, []string{"Ready=False", "Reconciling=True", "FetchFailed=True", "ArtifactInStorage=True"}},
	} {
		created := time.Now()
		object := &resource.Object{Kind: test.kind, Metadata: resource.Metadata{Name: "app", Namespace: "apps", CreationTimestamp: &created}}
		status := statusOfSource(object, fleet.SourceState{Version: 1, SourceStatus: fleet.SourceStatus{
			Revision: "1", Tree: tree, CheckedAt: created, Failure: test.failure, Reason: test.reason, Waiting: test.waiting, Terminal: test.terminal, Message: "it failed"}})
		var got []string
		for _, c := range status.Conditions {
			got = append(got, c.Type+"="+string(c.Status))
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s %s %s:\n got %v\nwant %v", test.kind, test.failure, test.reason, got, test.want)
		}
	}
}

func TestAChartIsReadyInFluxsWords(t *testing.T) {
	t.Parallel()
	created := time.Now()
	object := &resource.Object{Kind: "HelmChart", Metadata: resource.Metadata{Name: "app", Namespace: "apps", CreationTimestamp: &created}}
	for want, detail := range map[string]fleet.ArtifactDetail{
		"ChartPullSucceeded: pulled 'podinfo' chart with version '1.0.0'":      {Chart: "podinfo"},
		"ChartPackageSucceeded: packaged 'podinfo' chart with version '1.0.0'": {Chart: "podinfo", Packaged: true},
	} {
		status := statusOfSource(object, fleet.SourceState{Version: 1, SourceStatus: fleet.SourceStatus{
			Revision: "1.0.0", Tree: fleet.DigestOf([]byte("tree")), CheckedAt: created, Detail: detail}})
		var got []string
		for _, c := range status.Conditions {
			got = append(got, c.Type+" "+string(c.Status)+" "+c.Reason+": "+c.Message)
		}
		if !slices.Equal(got, []string{"Ready True " + want, "ArtifactInStorage True " + want}) {
			t.Errorf("%v, want %s", got, want)
		}
	}
}

func TestStatusTellsWhatASourceWasMadeOf(t *testing.T) {
	t.Parallel()
	tree := fleet.DigestOf([]byte("tree"))
	created := time.Now()
	fetched := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	show := func(kind string, detail fleet.ArtifactDetail) map[string]any {
		object := &resource.Object{Kind: kind, Metadata: resource.Metadata{Name: "app", Namespace: "apps", CreationTimestamp: &created}}
		raw, err := json.Marshal(statusOfSource(object, fleet.SourceState{Version: 1, SourceStatus: fleet.SourceStatus{
			Revision: "1", Tree: tree, CheckedAt: created, FetchedAt: fetched, Detail: detail}}))
		if err != nil {
			t.Fatal(err)
		}
		var status map[string]any
		if err := json.Unmarshal(raw, &status); err != nil {
			t.Fatal(err)
		}
		return status
	}
	git := show("GitRepository", fleet.ArtifactDetail{Size: 12, Verified: "verified signature of commit 'a'", VerifiedMode: "HEAD",
		Included: []fleet.IncludedArtifact{{Name: "other", Revision: "main@sha1:2", Tree: tree}}, Observed: json.RawMessage(`{"observedIgnore":"*.md"}`)})
	if git["observedIgnore"] != "*.md" || git["sourceVerificationMode"] != "HEAD" || git["observedGeneration"] == nil {
		t.Errorf("status %v", git)
	}
	if !strings.Contains(fmt.Sprint(git["conditions"]), "SourceVerified") {
		t.Errorf("conditions %v", git["conditions"])
	}
	included := git["includedArtifacts"].([]any)[0].(map[string]any)
	if included["revision"] != "main@sha1:2" || !strings.HasPrefix(included["path"].(string), "gitrepository/apps/other/") {
		t.Errorf("included %v", included)
	}
	if a := git["artifact"].(map[string]any); a["size"] != 12.0 || a["lastUpdateTime"] != "2026-01-02T03:04:05Z" || a["url"] == "" || a["path"] == "" {
		t.Errorf("artifact %v", a)
	}
	chart := show("HelmChart", fleet.ArtifactDetail{Chart: "podinfo", SourceRevision: "main@sha1:1", ValuesFiles: []string{"a.yaml"}})
	if chart["observedChartName"] != "podinfo" || chart["observedSourceArtifactRevision"] != "main@sha1:1" || fmt.Sprint(chart["observedValuesFiles"]) != "[a.yaml]" || chart["url"] == nil {
		t.Errorf("status %v", chart)
	}
	oci := show("OCIRepository", fleet.ArtifactDetail{Metadata: map[string]string{"org.opencontainers.image.revision": "x"}})
	if fmt.Sprint(oci["artifact"].(map[string]any)["metadata"]) != "map[org.opencontainers.image.revision:x]" {
		t.Errorf("artifact %v", oci["artifact"])
	}
}

func TestHelmRepositoryOfTypeOCIHasNoConditions(t *testing.T) {
	t.Parallel()
	raw, err := json.Marshal(flux.HelmRepository{URL: "oci://registry.example.com/charts", Type: flux.HelmRepositoryOCI})
	if err != nil {
		t.Fatal(err)
	}
	created := time.Now()
	object := &resource.Object{Kind: "HelmRepository", Spec: raw, Metadata: resource.Metadata{Name: "app", Namespace: "apps", CreationTimestamp: &created}}
	if status := statusOfSource(object, fleet.SourceState{}); len(status.Conditions) > 0 {
		t.Errorf("conditions %v", status.Conditions)
	}
}
