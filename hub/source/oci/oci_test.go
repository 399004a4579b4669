package oci_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/hub/source/oci"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

func TestATagIsOneRequestAndItsDigestIsFetched(t *testing.T) {
	t.Parallel()
	s, b := plain(t), fetcher(t)
	digest := s.artifact(t, "latest", map[string]string{"deploy/app.yaml": "kind: A", "run.sh": "#!"})
	u := upstream(s)
	found, got, err := fetched(t.Context(), b, u)
	if err != nil {
		t.Fatal(err)
	}
	if found != (source.Found{Revision: fleet.Revision("latest@" + digest)}) {
		t.Errorf("found %+v", found)
	}
	if want := map[string]string{"deploy/app.yaml": "kind: A", "run.sh": "#!"}; !maps.Equal(files(t, b, got.Tree), want) {
		t.Errorf("files %v", files(t, b, got.Tree))
	}
	if got.Detail.Metadata["org.opencontainers.image.revision"] != "main@sha1:0a" || got.Detail.Size != 9 || got.Detail.Verified != "" {
		t.Errorf("detail %+v", got.Detail)
	}
	s.requests()
	s.artifact(t, "other", map[string]string{"a": "b"})
	if again, err := b.Resolve(t.Context(), u); err != nil || again != found {
		t.Errorf("found %+v, error %v", again, err)
	}
	if asked := s.requests(); !slices.Equal(asked, []string{"HEAD /v2/apps/podinfo/manifests/latest"}) {
		t.Errorf("asked %v", asked)
	}
}

func TestTheRefSaysWhatIsPulledDigestBeforeRangeBeforeTag(t *testing.T) {
	t.Parallel()
	s, b := plain(t), fetcher(t)
	digests := map[string]string{}
	for _, tag := range []string{"latest", "v1.0.0", "1.2.0", "1.10.0", "v2.0.0-rc.1", "1.2", "staging", "1.11.0_build.2", "1.11.0_build.1", "1.10.1-beta.1"} {
		digests[tag] = s.artifact(t, tag, map[string]string{"tag": tag})
	}
	chart := &flux.LayerSelector{MediaType: flux.ChartLayer}
	for name, test := range map[string]struct {
		ref   *flux.OCIReference
		layer *flux.LayerSelector
		want  string
	}{
		"nothing":                     {nil, nil, "latest"},
		"a tag":                       {&flux.OCIReference{Tag: "staging"}, nil, "staging"},
		"the highest, by number":      {&flux.OCIReference{SemVer: "1.x", Tag: "staging"}, nil, "1.10.0"},
		"with a v":                    {&flux.OCIReference{SemVer: "<1.2.0"}, nil, "v1.0.0"},
		"no release candidates":       {&flux.OCIReference{SemVer: ">=1.2.0"}, nil, "1.10.0"},
		"release candidates if asked": {&flux.OCIReference{SemVer: ">=1.2.0-0"}, nil, "v2.0.0-rc.1"},
		"what the filter lets by":     {&flux.OCIReference{SemVer: ">=1.2.0-0", SemVerFilter: `beta`}, nil, "1.10.1-beta.1"},
		"a chart's metadata":          {&flux.OCIReference{SemVer: "1.x"}, chart, "1.11.0_build.2"},
	} {
		found, err := b.Resolve(t.Context(), upstream(s, func(o *flux.OCIRepository, _ source.Secrets) { o.Ref, o.LayerSelector = test.ref, test.layer }))
		if err != nil || found.Revision != fleet.Revision(test.want+"@"+digests[test.want]) {
			t.Errorf("%s: %s, error %v", name, found.Revision, err)
		}
	}
	s.requests()
	pinned := digests["staging"]
	found, got, err := fetched(t.Context(), b, upstream(s, func(o *flux.OCIRepository, _ source.Secrets) {
		o.Ref = &flux.OCIReference{Digest: pinned, SemVer: "1.x", Tag: "latest"}
	}))
	if err != nil || found.Revision != fleet.Revision(pinned) || files(t, b, got.Tree)["tag"] != "staging" {
		t.Errorf("found %s, error %v", found.Revision, err)
	}
	if asked := s.requests(); asked[0] != "GET /v2/apps/podinfo/manifests/"+pinned {
		t.Errorf("asked %v", asked)
	}
}

func TestWhatWasListedSinceThenWillDo(t *testing.T) {
	t.Parallel()
	s, b := plain(t), fetcher(t)
	s.artifact(t, "1.0.0", map[string]string{"a": "1"})
	u := upstream(s, func(o *flux.OCIRepository, _ source.Secrets) { o.Ref = &flux.OCIReference{SemVer: "*"} })
	begun := time.Now()
	if _, err := b.Resolve(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	s.requests()
	u.AsOf = begun
	if _, err := b.Resolve(t.Context(), u); err != nil || len(s.requests()) != 0 {
		t.Errorf("the list was asked for again, or error %v", err)
	}
	u.AsOf = time.Now()
	if _, err := b.Resolve(t.Context(), u); err != nil || len(s.requests()) != 2 {
		t.Errorf("what is too old was taken, or error %v", err)
	}
}

func TestTheLayerThatIsSelectedIsTheArtifact(t *testing.T) {
	t.Parallel()
	s, b := plain(t), fetcher(t)
	first, second := s.blob(t, fluxLayer, archive(t, map[string]string{"a": "first"})), s.blob(t, flux.ChartLayer, archive(t, map[string]string{"chart/Chart.yaml": "name: a"}))
	third := s.blob(t, flux.ChartLayer, archive(t, map[string]string{"third": ""}))
	s.manifest(t, "latest", image(s.blob(t, fluxConfig, []byte("{}")), first, second, third))
	raw := string(archive(t, map[string]string{"chart/Chart.yaml": "name: a"}))
	for name, test := range map[string]struct {
		selector *flux.LayerSelector
		want     map[string]string
	}{
		"the first":       {nil, map[string]string{"a": "first"}},
		"of a media type": {&flux.LayerSelector{MediaType: flux.ChartLayer}, map[string]string{"chart/Chart.yaml": "name: a"}},
		"extracted":       {&flux.LayerSelector{Operation: "extract"}, map[string]string{"a": "first"}},
		"copied as it is": {&flux.LayerSelector{MediaType: flux.ChartLayer, Operation: "copy"}, map[string]string{oci.CopiedLayer: raw}},
	} {
		_, got, err := fetched(t.Context(), b, upstream(s, func(o *flux.OCIRepository, _ source.Secrets) { o.LayerSelector = test.selector }))
		if err != nil || !maps.Equal(files(t, b, got.Tree), test.want) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	_, _, err := fetched(t.Context(), b, upstream(s, func(o *flux.OCIRepository, _ source.Secrets) {
		o.LayerSelector = &flux.LayerSelector{MediaType: "application/json"}
	}))
	refused(t, err, source.KindContent, `no layer of media type "application/json" (spec.layerSelector); it has `+fluxLayer+", "+flux.ChartLayer)
}

func TestWhatIsIgnoredIsNeitherInTheTreeNorStored(t *testing.T) {
	t.Parallel()
	s, b := plain(t), fetcher(t)
	s.artifact(t, "latest", map[string]string{
		"a.yaml": "1", "docs/b.md": "2", "docs/.sourceignore": "*.md\n!keep.md", "docs/keep.md": "3", "z/.sourceignore": "", "image.png": "4", "spec/c": "5",
	})
	pattern := "/spec"
	_, got, err := fetched(t.Context(), b, upstream(s, func(o *flux.OCIRepository, _ source.Secrets) { o.Ignore = &pattern }))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range got.Tree.Files {
		names = append(names, file.Path)
	}
	if want := []string{"a.yaml", "docs/.sourceignore", "docs/keep.md", "image.png", "z/.sourceignore"}; !slices.Equal(names, want) {
		t.Errorf("files %v", names)
	}
	if b.store.Len() != 5 { // nothing else was stored
		t.Errorf("%d blobs", b.store.Len())
	}
	if string(got.Detail.Observed) != `{"observedIgnore":"/spec"}` {
		t.Errorf("observed %s", got.Detail.Observed)
	}
}

func TestTheSameFilesAreTheSameTreeWhateverTheManifest(t *testing.T) {
	t.Parallel()
	s, b := plain(t), fetcher(t)
	layer := s.blob(t, fluxLayer, archive(t, map[string]string{"a": "b"}))
	selector := &flux.LayerSelector{Operation: "copy"}
	var digests []fleet.Digest
	for _, config := range []string{"{}", `{"a":1}`} {
		s.manifest(t, "latest", image(s.blob(t, fluxConfig, []byte(config)), layer))
		_, got, err := fetched(t.Context(), b, upstream(s, func(o *flux.OCIRepository, _ source.Secrets) { o.LayerSelector = selector }))
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, got.Tree.Digest())
	}
	if digests[0] != digests[1] {
		t.Error("a copied layer has another Tree by another manifest")
	}
}

func TestAnIndexIsFollowedToLinuxOnAMD64(t *testing.T) {
	t.Parallel()
	s, b := plain(t), fetcher(t)
	child := func(tag, os, arch string) map[string]any {
		digest := s.artifact(t, tag, map[string]string{"platform": tag})
		raw := len(s.get(t, "/v2/apps/podinfo/manifests/"+tag))
		d := map[string]any{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": raw}
		if os != "" {
			d["platform"] = map[string]string{"os": os, "architecture": arch}
		}
		return d
	}
	arm, amd, none := child("arm", "linux", "arm64"), child("amd", "linux", "amd64"), child("none", "", "")
	index := func(children ...map[string]any) map[string]any {
		return map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": children}
	}
	for want, list := range map[string][]map[string]any{"amd": {arm, amd, none}, "none": {arm, none, amd}} {
		digest := s.manifest(t, "latest", index(list...))
		found, got, err := fetched(t.Context(), b, upstream(s))
		if err != nil || files(t, b, got.Tree)["platform"] != want || found.Revision != fleet.Revision("latest@"+digest) {
			t.Errorf("%s: revision %s, error %v", want, found.Revision, err)
		}
	}
	s.manifest(t, "latest", index(arm))
	_, _, err := fetched(t.Context(), b, upstream(s))
	refused(t, err, source.KindContent, "nothing for linux/amd64; it has linux/arm64")
}

func TestWhatIsNotThereIsNamed(t *testing.T) {
	t.Parallel()
	s, b := plain(t), fetcher(t)
	s.artifact(t, "v1.0.0", map[string]string{"a": "b"})
	lost := "sha256:" + strings.Repeat("0a", 32)
	for name, test := range map[string]struct {
		change func(*flux.OCIRepository, source.Secrets)
		kind   source.Kind
		says   string
	}{
		"a tag":        {func(o *flux.OCIRepository, _ source.Secrets) { o.Ref = &flux.OCIReference{Tag: "v2"} }, source.KindRef, "tag v2 is not in the repository; check spec.ref"},
		"a digest":     {func(o *flux.OCIRepository, _ source.Secrets) { o.Ref = &flux.OCIReference{Digest: lost} }, source.KindRef, "digest " + lost + " is not in the repository"},
		"a version":    {func(o *flux.OCIRepository, _ source.Secrets) { o.Ref = &flux.OCIReference{SemVer: ">=2"} }, source.KindRef, `no tag is a version in ">=2": of 1 tags, 1 match spec.ref.semverFilter, and 1 of those are versions`},
		"a repository": {func(o *flux.OCIRepository, _ source.Secrets) { o.URL += "2" }, source.KindRepository, "the repository is not there; check spec.url"},
		"a list":       {func(o *flux.OCIRepository, _ source.Secrets) { o.URL += "2"; o.Ref = &flux.OCIReference{SemVer: "*"} }, source.KindRepository, "the repository is not there; check spec.url"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := fetched(t.Context(), b, upstream(s, test.change))
			refused(t, err, test.kind, test.says)
		})
	}
}
