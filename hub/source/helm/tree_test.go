package helm_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chartv2 "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/flux"
)

// loaded is the chart as helm loads it when it is installed.
func loaded(t *testing.T, data []byte) *chartv2.Chart {
	t.Helper()
	chart, err := loader.LoadArchive(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("helm does not load the package: %v", err)
	}
	return chart
}

// contents are what a chart and those in it have, for comparisons.
func contents(c *chartv2.Chart) map[string]string {
	all := map[string]string{}
	put := func(kind string, list []*common.File) {
		for _, f := range list {
			all[kind+f.Name] = string(f.Data)
		}
	}
	put("template ", c.Templates)
	put("file ", c.Files)
	all["metadata"] = fmt.Sprintf("%s %s %s", c.Metadata.Name, c.Metadata.Version, c.Metadata.Description)
	all["values"] = fmt.Sprint(c.Values)
	for _, sub := range c.Dependencies() {
		for name, text := range contents(sub) {
			all[sub.Metadata.Name+"/"+name] = text
		}
	}
	return all
}

func TestADirectoryIsPackagedAsHelmLoadsIt(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	common := packed("common", files{"Chart.yaml": chartYAML("common", "1.0.0")})
	f := podinfo("1.0.0").with(files{
		".helmignore": "*.bak\n/docs/\n!keep\n", "a.bak": "x", "docs/a.md": "x", "templates/.hidden": "x", "templates/NOTES.txt": "hi", "crds/a.yaml": "kind: CustomResourceDefinition\n",
		"charts/common-1.0.0.tgz": string(common), "charts/sub/Chart.yaml": chartYAML("sub", "2.0.0"), "charts/sub/values.yaml": "a: 1\n", "charts/sub/charts/deep/Chart.yaml": chartYAML("deep", "3.0.0"),
		"charts/_off/Chart.yaml": chartYAML("off", "1.0.0"), "charts/.hidden": "x", "LICENSE": "mine", "keep/me": "x", "values.schema.json": "{}",
	})
	f["values.yaml"] = "\xef\xbb\xbfreplicas: 1\n" // as some editors write
	delete(f, ".helmignore")
	input := b.git(f.in("charts/podinfo").with(files{"other.yaml": "x"}))
	found, got, data := b.chart(of(input, flux.HelmChart{Chart: "./charts/podinfo"}))
	if found.Revision != "1.0.0" || got.Tree.Files[0].Path != "podinfo-1.0.0.tgz" || got.Detail.SourceRevision != string(input.Revision) || got.Detail.Chart != "podinfo" || !got.Detail.Packaged {
		t.Errorf("found %+v, %s, detail %+v", found, got.Tree.Files[0].Path, got.Detail)
	}
	var buffered []*archive.BufferedFile
	for name, text := range f {
		if name != "templates/.hidden" { // what helm ignores wherever it loads a directory
			buffered = append(buffered, &archive.BufferedFile{Name: name, Data: bytes.TrimPrefix([]byte(text), []byte("\xef\xbb\xbf"))})
		}
	}
	want, err := loader.LoadFiles(buffered)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(contents(want), contents(loaded(t, data))); diff != "" {
		t.Errorf("(-helm +here):\n%s", diff)
	}
}

func TestHelmignoreIsHonoured(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	f := podinfo("1.0.0").with(files{".helmignore": "# not these\n*.bak\n/docs/\nci\n", "a.bak": "x", "x/b.bak": "x", "docs/a.md": "x", "x/docs/a.md": "y", "ci/values.yaml": "x", "prod.yaml": "",
		"charts/_off/Chart.yaml": chartYAML("off", "1.0.0"), "charts/.hidden": "x"})
	_, _, data := b.chart(of(b.git(f), flux.HelmChart{Chart: "."}))
	want := []string{"podinfo/.helmignore", "podinfo/Chart.yaml", "podinfo/prod.yaml", "podinfo/templates/cm.yaml", "podinfo/values.yaml", "podinfo/x/docs/a.md"}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(unpack(t, data)))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTheSameFilesMakeTheSamePackageOnEveryReplica(t *testing.T) {
	t.Parallel()
	dependency := packed("redis", files{"Chart.yaml": chartYAML("redis", "7.0.0"), "values.yaml": ""})
	f := podinfo("1.0.0").with(files{"Chart.yaml": chartYAML("podinfo", "1.0.0") + "dependencies:\n- {name: redis, version: 7.x, repository: 'file://../redis.tgz'}\n"}).in("a/podinfo").with(files{"a/redis.tgz": string(dependency), "v.yaml": "x: 1\n"})
	spec := flux.HelmChart{Chart: "a/podinfo", ValuesFiles: []string{"v.yaml"}, ReconcileStrategy: flux.ByRevision}
	var first []byte
	for range 3 {
		b := newBundle(t)
		_, _, data := b.chart(of(b.git(f), spec))
		if first == nil {
			first = data
		}
		if !bytes.Equal(data, first) {
			t.Error("the packages differ")
		}
	}
}

func TestTheVersionSaysWhatAChartOfASourceFollowsFrom(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	f := podinfo("1.0.0").in("chart").with(files{"chart.tgz": string(packed("podinfo", podinfo("1.1.0"))), "prod.yaml": "replicas: 9\n"})
	input := b.git(f)
	bucket := input
	bucket.Kind, bucket.Revision = "Bucket", "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	values := []string{"prod.yaml"}
	for name, test := range map[string]struct {
		input source.Input
		spec  flux.HelmChart
		want  string // up to the mark of values files
		mark  bool
	}{
		"by version":           {input, flux.HelmChart{Chart: "chart"}, "1.0.0", false},
		"by revision":          {input, flux.HelmChart{Chart: "chart", ReconcileStrategy: flux.ByRevision}, "1.0.0+6f1c9b2a7d3e", false},
		"of a bucket":          {bucket, flux.HelmChart{Chart: "chart", ReconcileStrategy: flux.ByRevision}, "1.0.0+0123456789ab", false},
		"values":               {input, flux.HelmChart{Chart: "chart", ValuesFiles: values}, "1.0.0+", true},
		"values by revision":   {input, flux.HelmChart{Chart: "chart", ValuesFiles: values, ReconcileStrategy: flux.ByRevision}, "1.0.0+6f1c9b2a7d3e.", true},
		"packaged":             {input, flux.HelmChart{Chart: "chart.tgz"}, "1.1.0", false},
		"packaged by revision": {input, flux.HelmChart{Chart: "chart.tgz", ReconcileStrategy: flux.ByRevision}, "1.1.0+6f1c9b2a7d3e", false},
		"packaged with values": {input, flux.HelmChart{Chart: "/chart.tgz", ValuesFiles: values}, "1.1.0+", true},
	} {
		found, got, data := b.chart(of(test.input, test.spec))
		version := string(found.Revision)
		if rest, ok := strings.CutPrefix(version, test.want); !ok || test.mark != (len(rest) == 12) || !test.mark && rest != "" {
			t.Errorf("%s: version %s, want %s", name, version, test.want)
		}
		chart := loaded(t, data)
		if chart.Metadata.Version != version || got.Tree.Files[0].Path != "podinfo-"+version+".tgz" {
			t.Errorf("%s: %s has version %s", name, got.Tree.Files[0].Path, chart.Metadata.Version)
		}
		if want := map[bool]string{true: "9", false: "1"}[test.mark]; fmt.Sprint(chart.Values["replicas"]) != want || len(got.Detail.ValuesFiles) != len(test.spec.ValuesFiles) || got.Detail.Packaged == (name == "packaged") {
			t.Errorf("%s: values %v of files %v", name, chart.Values, got.Detail.ValuesFiles)
		}
	}
	if _, _, data := b.chart(of(input, flux.HelmChart{Chart: "chart.tgz"})); string(data) != f["chart.tgz"] {
		t.Error("a package that nothing changes is not as it was")
	}
}

// In Flux's words: what is not in charts/ is looked for where Chart.yaml says.
func TestDependenciesAreTakenFromTheSourceAndFromRepositories(t *testing.T) {
	t.Parallel()
	b, s := newBundle(t), serve(t)
	s.Protect("me", "hunter2")
	s.publish(packed("podinfo", podinfo("1.0.0")), packed("podinfo", podinfo("2.0.0")))
	b.registry.tags["oci://registry.example.com/team/redis:7.1.0"] = packed("redis", files{"Chart.yaml": chartYAML("redis", "7.1.0")})
	chart := chartYAML("umbrella", "1.0.0") + fmt.Sprintf(`dependencies:
- {name: podinfo, version: 1.x, repository: "%s/charts"}
- {name: podinfo, version: 2.x, repository: "%s/charts/", alias: second}
- {name: redis, version: 7.1.0, repository: "oci://registry.example.com/team"}
- {name: common, version: ">=1.0.0", repository: "file://../common"}
- {name: present, version: 1.0.0, repository: "https://nowhere.example"}
- {name: packed, version: 1.0.0, repository: "file://packed.tgz"}
`, s.URL(), s.URL())
	f := files{
		"umbrella/Chart.yaml": chart, "umbrella/charts/present/Chart.yaml": chartYAML("present", "0.1.0"),
		"common/Chart.yaml": chartYAML("common", "1.2.0"), "common/templates/_helpers.tpl": "x", "common/.helmignore": "*.md", "common/README.md": "x",
		"umbrella/packed.tgz": string(packed("packed", files{"Chart.yaml": chartYAML("packed", "1.0.0")})),
	}
	u := of(b.git(f), flux.HelmChart{Chart: "umbrella"})
	u.Repositories = []source.Upstream{
		repository(flux.HelmRepository{URL: "https://other.example"}, nil),
		repository(s.spec(), source.Secrets{"secretRef": {"username": []byte("me"), "password": []byte("hunter2")}}),
		repository(flux.HelmRepository{URL: "oci://registry.example.com/team/", Type: flux.HelmRepositoryOCI}, source.Secrets{"secretRef": {".dockerconfigjson": []byte("login")}}),
	}
	_, _, data := b.chart(u)
	var has []string
	for _, sub := range loaded(t, data).Dependencies() {
		has = append(has, sub.Metadata.Name+" "+sub.Metadata.Version)
		if sub.Metadata.Name == "common" && (len(sub.Templates) != 1 || len(sub.Files) != 1) {
			t.Errorf("common has %v", contents(sub))
		}
	}
	slices.Sort(has)
	if diff := cmp.Diff([]string{"common 1.2.0", "packed 1.0.0", "podinfo 1.0.0", "podinfo 2.0.0", "present 0.1.0", "redis 7.1.0"}, has); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"/charts/index.yaml 200 me", "/charts/podinfo-1.tgz 200 me", "/charts/podinfo-2.tgz 200 me"}, s.seen()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	if login := string(b.registry.asked[0].Secrets["secretRef"][".dockerconfigjson"]); login != "login" {
		t.Errorf("the registry was asked with %q", login)
	}
	// Without a HelmRepository of that address nobody's credential is used.
	u.Repositories = nil
	_, _, err := fetched(t.Context(), b.Charts(), u)
	fails(t, "no credential", err, source.KindAuth, "index.yaml", s.URL())
}

func TestTheLockFileGoesBeforeTheRanges(t *testing.T) {
	t.Parallel()
	b, s := newBundle(t), serve(t)
	s.publish(packed("podinfo", podinfo("1.0.0")), packed("podinfo", podinfo("2.0.0")))
	chart := chartYAML("umbrella", "1.0.0") + fmt.Sprintf("dependencies:\n- {name: podinfo, version: '*', repository: '%s/charts'}\n", s.URL())
	lock := fmt.Sprintf("dependencies:\n- name: podinfo\n  repository: %s/charts\n  version: 1.0.0\ndigest: sha256:0\ngenerated: \"2024-01-01T00:00:00Z\"\n", s.URL())
	for want, f := range map[string]files{"2.0.0": {"Chart.yaml": chart}, "1.0.0": {"Chart.yaml": chart, "Chart.lock": lock}} {
		_, _, data := b.chart(of(b.git(f), flux.HelmChart{Chart: "."}))
		if subs := loaded(t, data).Dependencies(); len(subs) != 1 || subs[0].Metadata.Version != want {
			t.Errorf("dependencies %v, want version %s", subs, want)
		}
	}
	// A chart of before has them in requirements.yaml.
	_, _, data := b.chart(of(b.git(files{
		"Chart.yaml": "name: old\nversion: 1.0.0\n", "requirements.yaml": strings.TrimPrefix(chart, chartYAML("umbrella", "1.0.0")), "requirements.lock": lock,
	}), flux.HelmChart{Chart: ""}))
	if chart := loaded(t, data); chart.Metadata.APIVersion != "v1" || len(chart.Dependencies()) != 1 || chart.Lock == nil {
		t.Errorf("an older chart is %+v", chart.Metadata)
	}
}

func TestChartsOfSourcesFailSayingWhatToDo(t *testing.T) {
	t.Parallel()
	depends := func(fields string) string { return chartYAML("a", "1.0.0") + "dependencies:\n- {" + fields + "}\n" }
	for name, test := range map[string]struct {
		files files
		spec  flux.HelmChart
		kind  source.Kind
		says  []string
	}{
		"nothing there":          {files{"x": ""}, flux.HelmChart{Chart: "charts/a"}, source.KindContent, []string{"GitRepository input has nothing at", "charts/a"}},
		"no chart":               {files{"a/x": ""}, flux.HelmChart{Chart: "a"}, source.KindContent, []string{"a has no Chart.yaml"}},
		"outside":                {files{"Chart.yaml": ""}, flux.HelmChart{Chart: "../a"}, source.KindContent, []string{"leaves the source"}},
		"not YAML":               {files{"Chart.yaml": "a: ["}, flux.HelmChart{Chart: "."}, source.KindContent, []string{"Chart.yaml"}},
		"no version":             {files{"Chart.yaml": "name: a\n"}, flux.HelmChart{Chart: "."}, source.KindContent, []string{"Chart.yaml: it has no version"}},
		"a name that is a path":  {files{"Chart.yaml": chartYAML("../../a", "1.0.0")}, flux.HelmChart{Chart: "."}, source.KindContent, []string{"Chart.yaml: its name", "cannot be a chart's"}},
		"no archive":             {files{"a.tgz": "x"}, flux.HelmChart{Chart: "a.tgz"}, source.KindContent, []string{"a.tgz: "}},
		"values that are none":   {files{"Chart.yaml": chartYAML("a", "1.0.0"), "values.yaml": "", "v": "- a\n"}, flux.HelmChart{Chart: ".", ValuesFiles: []string{"v"}}, source.KindContent, []string{"v: "}},
		"no values to replace":   {files{"Chart.yaml": chartYAML("a", "1.0.0"), "v": "a: 1\n"}, flux.HelmChart{Chart: ".", ValuesFiles: []string{"v"}}, source.KindContent, []string{"the chart has no values.yaml"}},
		"a stray file":           {files{"Chart.yaml": chartYAML("a", "1.0.0"), "charts/README.md": "x"}, flux.HelmChart{Chart: "."}, source.KindContent, []string{"charts/README.md is in charts/ and is no chart"}},
		"a stray directory":      {files{"Chart.yaml": chartYAML("a", "1.0.0"), "charts/b/x": "x"}, flux.HelmChart{Chart: "."}, source.KindContent, []string{"charts/b is in charts/ and has no Chart.yaml"}},
		"a bad chart in it":      {files{"Chart.yaml": chartYAML("a", "1.0.0"), "charts/b/Chart.yaml": "name: b"}, flux.HelmChart{Chart: "."}, source.KindContent, []string{"charts/b/Chart.yaml: it has no version"}},
		"dependency elsewhere":   {files{"x/Chart.yaml": depends("name: b, version: '*', repository: 'file://../../b'")}, flux.HelmChart{Chart: "x"}, source.KindContent, []string{`dependency "b": `, "leaves the source"}},
		"dependency not there":   {files{"Chart.yaml": depends("name: b, version: '*', repository: 'file://b'")}, flux.HelmChart{Chart: "."}, source.KindContent, []string{`dependency "b": `, "has nothing at"}},
		"dependency not in it":   {files{"Chart.yaml": depends("name: b, version: '*', repository: ''")}, flux.HelmChart{Chart: "."}, source.KindContent, []string{`dependency "b": `, "charts/b"}},
		"dependency of another":  {files{"Chart.yaml": depends("name: b, version: 2.x, repository: 'file://b'"), "b/Chart.yaml": chartYAML("b", "1.0.0")}, flux.HelmChart{Chart: "."}, source.KindContent, []string{"b has version 1.0.0, which is not in the range"}},
		"dependency by alias":    {files{"Chart.yaml": depends("name: b, version: '*', repository: '@stable'")}, flux.HelmChart{Chart: "."}, source.KindContent, []string{`"@stable" is an alias`}},
		"dependency by an alias": {files{"Chart.yaml": depends("name: b, version: '*', repository: 'alias:stable'")}, flux.HelmChart{Chart: "."}, source.KindContent, []string{`"alias:stable" is an alias`}},
		"dependency by ftp":      {files{"Chart.yaml": depends("name: b, version: '*', repository: 'ftp://a.example'")}, flux.HelmChart{Chart: "."}, source.KindContent, []string{"is not of http, https, oci or file"}},
		"a metadata service":     {files{"Chart.yaml": depends("name: b, version: '*', repository: 'http://169.254.169.254/'")}, flux.HelmChart{Chart: "."}, source.KindAddress, []string{"169.254.169.254 is not allowed"}},
		"credentials in it":      {files{"Chart.yaml": depends("name: b, version: '*', repository: 'https://me:hunter2@a.example'")}, flux.HelmChart{Chart: "."}, source.KindContent, []string{"is not of http, https, oci or file"}},
		"an alias that is odd":   {files{"Chart.yaml": depends("name: b, version: '*', repository: 'file://b', alias: '../x'")}, flux.HelmChart{Chart: "."}, source.KindContent, []string{"the alias"}},
	} {
		b := newBundle(t)
		_, _, err := fetched(t.Context(), b.Charts(), of(b.git(test.files), test.spec))
		fails(t, name, err, test.kind, test.says...)
	}
}
