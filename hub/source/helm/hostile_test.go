package helm_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/hub/source/helm"
	"flotilla.dev/flotilla/pkg/artifact/artifacttest"
	"flotilla.dev/flotilla/pkg/flux"
)

// Wherever an archive can come from, a hostile one is refused, naming its entry, and another chart goes on.
func TestHostileArchivesAreNoCharts(t *testing.T) {
	t.Parallel()
	corpus := artifacttest.HostileArchives()
	if len(corpus) < 60 {
		t.Fatalf("only %d archives", len(corpus))
	}
	b := newBundle(t)
	for _, hostile := range corpus {
		data := string(hostile.Data())
		named := hostile.Entry
		if strings.HasPrefix(named, "both") {
			named = `"both"` // no chart's file to begin with
		}
		if len(data) > 5<<20 {
			named = ".tgz has " // it is not even opened
		}
		for door, test := range map[string]struct {
			files files
			chart string
		}{
			"packaged":     {files{"evil.tgz": data}, "evil.tgz"},
			"in charts/":   {files{"Chart.yaml": chartYAML("a", "1.0.0"), "charts/evil.tgz": data}, "."},
			"a dependency": {files{"a/Chart.yaml": chartYAML("a", "1.0.0") + "dependencies: [{name: b, version: '*', repository: 'file://../evil.tgz'}]\n", "evil.tgz": data}, "a"},
			"in a package": {files{"a.tgz": string(packed("a", files{"Chart.yaml": chartYAML("a", "1.0.0"), "charts/evil.tgz": data}))}, "a.tgz"},
		} {
			_, _, err := fetched(t.Context(), b.Charts(), of(b.git(test.files), flux.HelmChart{Chart: test.chart}))
			kind := source.KindOf(err)
			if err == nil || kind != source.KindContent && kind != source.KindLimit || !strings.Contains(err.Error(), named) {
				t.Errorf("%s, %s: %v (%s), want %q named", hostile.Name, door, err, kind, hostile.Entry)
			}
		}
	}
	if _, _, err := fetched(t.Context(), b.Charts(), of(b.git(podinfo("1.0.0")), flux.HelmChart{Chart: "."})); err != nil {
		t.Errorf("a good chart after them: %v", err)
	}
}

func TestChartsBeyondTheirBoundsAreRefusedByName(t *testing.T) {
	t.Parallel()
	const kib = 1 << 10
	small := func(c *helm.Config) {
		c.Limits = helm.Limits{Chart: 64 * kib, File: 8 * kib, Unpacked: 220 * kib, Package: 40 * kib, Files: 50, Dependencies: 3}
	}
	chart := chartYAML("a", "1.0.0")
	good := files{"Chart.yaml": chart, "values.yaml": "a: 1\n"}
	many := files{}
	for i := range 60 {
		many[fmt.Sprintf("templates/%d.yaml", i)] = ""
	}
	nested := packed("a", good)
	for range 12 {
		nested = packed("a", files{"Chart.yaml": chart, "charts/a.tgz": string(nested)})
	}
	deep := "charts/a/"
	levels := files{"Chart.yaml": chart}
	for range 10 {
		levels[deep+"Chart.yaml"] = chart
		deep += "charts/a/"
	}
	noise := noise(250 * kib)
	large := files{"Chart.yaml": chart}
	for i := range 30 {
		large[fmt.Sprintf("x%d", i)] = noise[i*7*kib/2 : i*7*kib/2+7*kib]
	}
	half := string(packed("half", files{"Chart.yaml": chartYAML("half", "1.0.0"), "x": noise[:8*kib], "y": strings.Repeat("y", 60*kib)}))
	depends := func(n int) string {
		var out strings.Builder
		out.WriteString(chart + "dependencies:\n")
		for i := range n {
			fmt.Fprintf(&out, "- {name: d%d, version: '*', repository: 'file://d%d'}\n", i, i)
		}
		return out.String()
	}
	for name, test := range map[string]struct {
		files files
		spec  flux.HelmChart
		says  string
	}{
		"a large file":                       {good.with(files{"templates/big.yaml": noise[:9*kib]}), flux.HelmChart{Chart: "."}, "templates/big.yaml has 9216 bytes"},
		"many files":                         {good.with(many), flux.HelmChart{Chart: "."}, "more than 50 files"},
		"many files in a package":            {files{"a.tgz": string(packed("a", good.with(many)))}, flux.HelmChart{Chart: "a.tgz"}, "a.tgz: "},
		"charts in charts":                   {files{"a.tgz": string(nested)}, flux.HelmChart{Chart: "a.tgz"}, "more than 8 charts are in one another"},
		"charts in directories":              {levels, flux.HelmChart{Chart: "."}, "more than 8 charts are in one another"},
		"a large package":                    {files{"a.tgz": string(packed("a", good.with(files{"x": noise[:50*kib], "y": noise[50*kib : 100*kib], "z": noise[100*kib : 150*kib]})))}, flux.HelmChart{Chart: "a.tgz"}, "a.tgz"},
		"a package that gets large":          {large, flux.HelmChart{Chart: "."}, "the packaged chart has more than"},
		"charts that together are too large": {good.with(files{"charts/a.tgz": half, "charts/b.tgz": half, "charts/c.tgz": half}), flux.HelmChart{Chart: "."}, "charts/c.tgz"},
		"many dependencies":                  {files{"Chart.yaml": depends(4)}, flux.HelmChart{Chart: "."}, "has 4 dependencies; it may have 3"},
		"patterns times files":               {many.with(files{"Chart.yaml": chart, ".helmignore": strings.Repeat("a\n", 40*kib)}), flux.HelmChart{Chart: "."}, ".helmignore"},
	} {
		b := newBundle(t, small)
		_, _, err := fetched(t.Context(), b.Charts(), of(b.git(test.files), test.spec))
		fails(t, name, err, source.KindLimit, test.says)
	}
	// A dependency that depends on itself, or on who needs it, is taken as it is.
	b := newBundle(t, small)
	_, _, data := b.chart(of(b.git(files{
		"a/Chart.yaml": chart + "dependencies: [{name: b, version: '*', repository: 'file://../b'}]\n",
		"b/Chart.yaml": chartYAML("b", "1.0.0") + "dependencies: [{name: a, version: '*', repository: 'file://../a'}]\n",
	}), flux.HelmChart{Chart: "a"}))
	if in := unpack(t, data); len(in) != 2 {
		t.Errorf("the package has %v", slices.Sorted(maps.Keys(in)))
	}
}

// noise is a text that cannot be compressed by much.
func noise(size int) string {
	random, out := rand.New(rand.NewPCG(1, 2)), make([]byte, size)
	for i := range out {
		out[i] = byte(' ' + 1 + random.IntN(94))
	}
	return string(out)
}

// hostileDocuments are YAML that would take much memory, or time, to be read.
func hostileDocuments() map[string]string {
	aliases := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for i := range 12 {
		aliases += fmt.Sprintf("%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n", 'b'+i, 'b'+i, 'a'+i, 'a'+i, 'a'+i, 'a'+i, 'a'+i, 'a'+i, 'a'+i, 'a'+i, 'a'+i)
	}
	merges := "a: &a {x: 1, y: 2}\n"
	for i := range 20 {
		merges += fmt.Sprintf("%c: &%c {p: *%c, q: *%c}\n", 'b'+i, 'b'+i, 'a'+i, 'a'+i)
	}
	return map[string]string{
		"aliases of aliases":    aliases,
		"maps of aliases":       merges,
		"an alias of itself":    "a: &a [*a, *a]\n",
		"one anchor many times": "a: &a {" + strings.Repeat("a: 1, ", 200) + "}\nb: [" + strings.Repeat("*a, ", 2000) + "]\n",
		"brackets":              "a: " + strings.Repeat("[", 100_000) + "\n",
		"braces":                "a: " + strings.Repeat("{a: ", 100_000) + "\n",
		"dashes":                strings.Repeat("- ", 200_000) + "\n",
		"a million values":      "a: [" + strings.Repeat("1,", 500_000) + "]\n",
		"a million keys":        "a: {" + strings.Repeat("a,", 500_000) + "}\n",
		"many lines":            strings.Repeat("- a\n", 250_000),
		"a text of 2 MiB":       "a: " + strings.Repeat("x", 2<<20) + "\n",
		"UTF-16":                utf16("a: [" + strings.Repeat("1,", 200_000) + "]\n"),
		"questions":             strings.Repeat("? a\n", 100_000),
		"indented ever deeper":  stairs(1500),
	}
}

func stairs(n int) string {
	var out strings.Builder
	for i := range n {
		out.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return out.String()
}

func utf16(text string) string {
	out := []byte{0xff, 0xfe}
	for _, c := range []byte(text) {
		out = append(out, c, 0)
	}
	return string(out)
}

func TestHostileYAMLIsRefusedByName(t *testing.T) {
	t.Parallel()
	b, s := newBundle(t), serve(t)
	for name, text := range hostileDocuments() {
		chart := files{"Chart.yaml": chartYAML("a", "1.0.0"), "values.yaml": "a: 1\n"}
		for file, test := range map[string]struct {
			files files
			spec  flux.HelmChart
		}{
			"Chart.yaml":          {chart.with(files{"Chart.yaml": chartYAML("a", "1.0.0") + text}), flux.HelmChart{Chart: "."}},
			"requirements.yaml":   {chart.with(files{"requirements.yaml": text}), flux.HelmChart{Chart: "."}},
			"Chart.lock":          {chart.with(files{"Chart.lock": text}), flux.HelmChart{Chart: "."}},
			"prod.yaml":           {chart.with(files{"prod.yaml": text}), flux.HelmChart{Chart: ".", ValuesFiles: []string{"prod.yaml"}}},
			"charts/b/Chart.yaml": {chart.with(files{"charts/b/Chart.yaml": chartYAML("b", "1.0.0") + text}), flux.HelmChart{Chart: "."}},
		} {
			if name == "indented ever deeper" || name == "questions" && file != "prod.yaml" {
				continue // odd, and within the bounds
			}
			_, _, err := fetched(t.Context(), b.Charts(), of(b.git(test.files), test.spec))
			if kind := source.KindOf(err); err == nil || kind != source.KindContent && kind != source.KindLimit || !strings.Contains(err.Error(), file) || len(err.Error()) > 600 {
				t.Errorf("%s in %s: %.600v", name, file, err)
			}
		}
		s.ServeFile("/charts/index.yaml", []byte("apiVersion: v1\nentries:\n  a:\n  - name: a\n    version: 1.0.0\n    annotations:\n      "+strings.ReplaceAll(text, "\n", "\n      ")+"\n"))
		_, err := b.Repositories().Resolve(t.Context(), repository(s.spec(), nil))
		if err != nil && (!strings.Contains(err.Error(), "index.yaml") || len(err.Error()) > 600) {
			t.Errorf("%s in index.yaml: %.600v", name, err)
		}
	}
}

// What a document of strangers may take, an index of theirs, and a package, is bounded before it is read.
func TestHostileInputTakesBoundedMemory(t *testing.T) {
	// Not parallel: it looks at the memory of the process.
	b, s := newBundle(t), serve(t)
	worst := files{"Chart.yaml": chartYAML("a", "1.0.0"), "values.yaml": "", "prod.yaml": "a: [" + strings.Repeat("1,", 49_000) + "]\n"}
	keys := &strings.Builder{}
	for i := range 49_000 {
		fmt.Fprintf(keys, "k%d: 1\n", i)
	}
	wide := worst.with(files{"prod.yaml": keys.String()})
	bomb := files{"a.tgz": string(packed("a", worst.with(files{"zeros": strings.Repeat("\x00", 60<<20)})))}
	s.ServeFile("/charts/index.yaml", []byte("apiVersion: v1\nentries:\n  a:\n"+strings.Repeat("  - {name: a, version: 1.0.0, urls: [a.tgz]}\n", 90_000)))
	s.ServeFile("/json/index.yaml", []byte(`{"apiVersion":"v1","entries":{"a":[{"name":"a","version":"1.0.0","description":"`+strings.Repeat("x", 40<<20)+`"}]}}`))
	s.ServeFile("/flow/index.yaml", []byte("{apiVersion: v1, entries: {a: ["+strings.Repeat("[", 40<<20)))
	values := flux.HelmChart{Chart: ".", ValuesFiles: []string{"prod.yaml"}}
	chart := func(f files, spec flux.HelmChart) func() {
		u := of(b.git(f), spec)
		return func() { _, _, _ = fetched(t.Context(), b.Charts(), u) }
	}
	index := func(path string) func() {
		return func() {
			_, _ = b.Repositories().Resolve(t.Context(), repository(flux.HelmRepository{URL: s.URL() + path}, nil))
		}
	}
	for name, test := range map[string]struct {
		run   func()
		limit uint64 // MiB
	}{
		"many values":                {chart(worst, values), 64},
		"many keys":                  {chart(wide, values), 64},
		"a bomb":                     {chart(bomb, flux.HelmChart{Chart: "a.tgz"}), 64},
		"an index of many":           {index("/charts"), 64},
		"an index of one, in JSON":   {index("/json"), 96},
		"an index that is brackets":  {index("/flow"), 96},
		"values in package, and zip": {chart(worst, flux.HelmChart{Chart: "."}), 64},
	} {
		if took := peak(test.run); took > test.limit<<20 {
			t.Errorf("%s: %d MiB, which is more than %d", name, took>>20, test.limit)
		} else {
			t.Logf("%s: %d MiB", name, took>>20)
		}
	}
}

// peak is how much larger the heap gets while the function runs.
func peak(run func()) uint64 {
	defer debug.SetGCPercent(debug.SetGCPercent(10))
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	done := make(chan struct{})
	go func() { defer close(done); run() }()
	most := uint64(0)
	for {
		runtime.ReadMemStats(&now)
		if now.HeapAlloc > before.HeapAlloc {
			most = max(most, now.HeapAlloc-before.HeapAlloc)
		}
		select {
		case <-done:
			return most
		case <-time.After(time.Millisecond):
		}
	}
}

func FuzzChart(f *testing.F) {
	f.Add(packed("podinfo", podinfo("1.0.0")))
	f.Add(packed("a", files{"Chart.yaml": chartYAML("a", "1.0.0"), "charts/b.tgz": string(packed("b", podinfo("1.0.0"))), "charts/c/Chart.yaml": chartYAML("c", "1.0.0")}))
	f.Add([]byte("\x1f\x8b"))
	f.Fuzz(func(t *testing.T, data []byte) {
		b := newBundle(t)
		u := of(b.git(files{"chart.tgz": string(data), "v.yaml": "a: 1\n"}), flux.HelmChart{Chart: "chart.tgz", ValuesFiles: []string{"v.yaml"}})
		found, got, err := fetched(t.Context(), b.Charts(), u)
		if err != nil {
			if kind := source.KindOf(err); kind != source.KindContent && kind != source.KindLimit {
				t.Errorf("%v is of kind %s", err, kind)
			}
			return
		}
		if chart := loaded(t, b.content(got)); chart.Metadata.Version != string(found.Revision) {
			t.Errorf("version %s of %s", chart.Metadata.Version, found.Revision)
		}
	})
}
