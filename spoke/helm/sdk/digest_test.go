package sdk_test

import (
	"encoding/json"
	"testing"

	release "helm.sh/helm/v4/pkg/release/v1"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/helm/job"
	"flotilla.dev/flotilla/spoke/helm/sdk"
)

// The digests were computed by what helm-controller does.

func TestSnapshotDigestIsThatOfFlux(t *testing.T) {
	t.Parallel()
	const artifact = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	bare, tests := fixture(t), fixture(t)
	bare.Hooks, bare.Config = nil, nil
	tests.Hooks = tests.Hooks[1:]
	for name, tc := range map[string]struct {
		release *release.Release
		job     job.Job
		want    string
	}{
		"a name alone, as in the tests of helm-controller": {&release.Release{Name: "foo"}, job.Job{}, "sha256:f1498f27a16a09cd7e1ee610d924df065c03d30035638babc95dd9a8d412ce4d"},
		"of all": {fixture(t), job.Job{}, "sha256:4ba36e6274986cce7f18b7f68bb8ae9a25ed6523ac141a08e4047f618ac9a0e4"},
		"with the digest of an artifact that is on record": {fixture(t), job.Job{OCIDigests: map[int]string{7: artifact}}, "sha256:fb150572bdeb9987f22ef72faa0e03c3accff3f69cea868ab2fb98d848a36d03"},
		"with one that the chart's version begins with":    {fixture(t), job.Job{Plan: flux.HelmPlan{Chart: flux.HelmArtifact{OCIDigest: artifact}}}, "sha256:fb150572bdeb9987f22ef72faa0e03c3accff3f69cea868ab2fb98d848a36d03"},
		"one of another artifact does not count":           {fixture(t), job.Job{Plan: flux.HelmPlan{Chart: flux.HelmArtifact{OCIDigest: "sha256:aa" + artifact[9:]}}}, "sha256:4ba36e6274986cce7f18b7f68bb8ae9a25ed6523ac141a08e4047f618ac9a0e4"},
		"without hooks and values":                         {bare, job.Job{}, "sha256:ed5884ad1beeaf6a88c11682ea3d1ca32c456dfb6117eba18024ec113b0250c8"},
		"with tests alone, which do not count":             {tests, job.Job{}, "sha256:bac359d4f2f3f7bcdb448f78c81387a1189c704df32443236dffefc542738c39"},
	} {
		snapshot, err := sdk.SnapshotOf(tc.job, tc.release)
		if err != nil || snapshot.Digest != tc.want {
			t.Errorf("%s: %s, %v", name, snapshot.Digest, err)
		}
		// As Helm has it back from where it stores it.
		content, err := json.Marshal(tc.release)
		if err != nil {
			t.Fatal(err)
		}
		var stored release.Release
		if err := json.Unmarshal(content, &stored); err != nil {
			t.Fatal(err)
		}
		if again, err := sdk.SnapshotOf(tc.job, &stored); err != nil || again.Digest != snapshot.Digest {
			t.Errorf("%s: stored and read: %s, %v", name, again.Digest, err)
		}
	}
}

func TestValuesDigestIsThatOfFlux(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		values map[string]any
		want   string
	}{
		"none":      {nil, "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		"empty":     {map[string]any{}, "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		"all sorts": {fixture(t).Config, "sha256:c5f56497e497971b8ab43b35172c24f0e02fa514fb42129b3fc63c04f4a60216"},
		"those in the tests of Flux": {map[string]any{
			"image":    map[string]any{"repository": "nginx", "tag": "latest"},
			"ports":    []any{map[string]any{"port": 8080.0, "protocol": "TCP"}, map[string]any{"port": 9090.0, "protocol": "UDP"}},
			"replicas": 3.0,
		}, "sha256:fcdc2b0de1581a3633ada4afee3f918f6eaa5b5ab38c3fef03d5b48d3f85d9f6"},
	} {
		if got, err := sdk.ValuesDigest(tc.values); err != nil || got != tc.want {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
}

func TestDigestsOfPostRenderersAndCommonMetadataAreThoseOfFlux(t *testing.T) {
	b := newBundle(t)
	if p := b.done(job.Prepare).Prepared; p.PostRenderersDigest != "" || p.CommonMetadataDigest != "" {
		t.Errorf("without any it is %+v", p)
	}
	b.job.Plan.Spec.PostRenderers = []flux.HelmPostRenderer{{Kustomize: &flux.HelmKustomize{
		Patches: []fleet.Patch{{Patch: "- op: add\n  path: /data/p\n  value: <x>\n", Target: &fleet.PatchTarget{
			Group: "g", Version: "v1", Kind: "ConfigMap", Namespace: "n", Name: "it", AnnotationSelector: "a=b", LabelSelector: "c=d",
		}}},
		Images: []fleet.Image{{Name: "nginx", NewName: "example.com/nginx", NewTag: "v2", Digest: "sha256:ab"}},
	}}, {}}
	b.job.Plan.Spec.CommonMetadata = &fleet.CommonMetadata{Annotations: map[string]string{"z": "1", "a": "<2>"}, Labels: map[string]string{"team": "x"}}
	p := b.done(job.Prepare).Prepared
	if p.PostRenderersDigest != "sha256:a7c30e4d3c82cb4a0d683b22d9d78e782dcbb2600d27e03c892046d0f3a43326" || p.CommonMetadataDigest != "sha256:aea353255dc5bd1a299f4e1182ac1f38654baa2240e18d047dbb1f569c4a3d9c" {
		t.Errorf("it is %+v", p)
	}
	b.job.Binding.Patches = []fleet.Patch{{Patch: "{}"}}
	if with := b.done(job.Prepare).Prepared; with.PostRenderersDigest == p.PostRenderersDigest {
		t.Error("a Placement's patches make no other digest")
	}
}

func TestAnArtifactsDigestIsPartOfTheChartsVersion(t *testing.T) {
	b := newBundle(t)
	b.job.Plan.Chart.OCIDigest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	installed := b.done(job.Install)
	if s := installed.History[0]; s.ChartVersion != "1.0.0+0123456789ab" || s.OCIDigest != b.job.Plan.Chart.OCIDigest {
		t.Errorf("the snapshot is %+v", s)
	}
	b.job.Plan.Chart.OCIDigest = "sha256:f" + b.job.Plan.Chart.OCIDigest[8:]
	b.job.OCIDigests = map[int]string{1: installed.History[0].OCIDigest}
	upgraded := b.done(job.Upgrade)
	if s := upgraded.History[0]; s.ChartVersion != "1.0.0+f123456789ab" || s.OCIDigest != b.job.Plan.Chart.OCIDigest || upgraded.History[1].OCIDigest != installed.History[0].OCIDigest {
		t.Errorf("the history is %+v", upgraded.History)
	}
	// What is rolled back to is of the artifact that it was of.
	back := b.do(job.Request{Action: job.Rollback, Version: 1})
	if back.Failure != nil || back.History[0].OCIDigest != installed.History[0].OCIDigest || back.History[0].Action != "rollback" {
		t.Errorf("%+v: the history is %+v", back.Failure, back.History)
	}
	b.job.Plan.Chart.OCIDigest = "sha256:short"
	if f := b.fails(job.Prepare, "digest", "HelmChart/"+b.namespace+"/app"); f.Reason != "ChartMutateError" || !f.Invalid {
		t.Errorf("it is %+v", f)
	}
}
