package helm_test

import (
	"testing"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/artifact/artifacttest"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/test/lab"
)

// Who reads the error has many charts, of many versions.
func TestAnArchivesErrorsNameTheChartAndItsVersion(t *testing.T) {
	t.Parallel()
	evil := artifacttest.Archive(map[string]string{"podinfo/Chart.yaml": chartYAML("podinfo", "1.0.0"), "podinfo/../../evil": "x"})
	b, s := newBundle(t), serve(t)
	if err := s.Add(&lab.Chart{Name: "podinfo", Version: "1.0.0", Metadata: []byte(chartYAML("podinfo", "1.0.0")), Archive: evil}); err != nil {
		t.Fatal(err)
	}
	b.registry.tags["oci://registry.example.com/podinfo:1.0.0"] = evil
	overHTTP := flux.HelmRepository{URL: s.URL()}
	registry := source.Input{Name: "registry", Upstream: repository(flux.HelmRepository{URL: "oci://registry.example.com", Type: flux.HelmRepositoryOCI}, nil)}
	depends := func(address string) source.Upstream {
		text := chartYAML("a", "1.0.0") + "dependencies: [{name: podinfo, version: 1.x, repository: '" + address + "'}]\n"
		return of(b.git(files{"Chart.yaml": text}), flux.HelmChart{Chart: "."})
	}
	for name, test := range map[string]struct {
		chart     source.Upstream
		url, says string
	}{
		"of a repository":              {of(b.index(repository(overHTTP, nil)), flux.HelmChart{Chart: "podinfo"}), s.URL(), "chart podinfo 1.0.0: "},
		"of a registry":                {of(registry, flux.HelmChart{Chart: "podinfo"}), "oci://registry.example.com", "chart podinfo 1.0.0: "},
		"a dependency":                 {depends(s.URL()), "https://git.example.com/app.git", `dependency "podinfo": version 1.0.0: `},
		"a dependency from a registry": {depends("oci://registry.example.com"), "https://git.example.com/app.git", `dependency "podinfo": version 1.0.0: `},
	} {
		_, _, err := fetched(t.Context(), b.Charts(), test.chart)
		fails(t, name, err, source.KindContent, test.url+": "+test.says+`archive entry "podinfo/../../evil": `)
	}
}
