package helm

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	repo "helm.sh/helm/v4/pkg/repo/v1"
)

// indexes are ways to write an index. Every one that helm takes must come to the same here.
var writtenIndexes = map[string]string{
	"as helm writes it": `apiVersion: v1
entries:
  alpine:
  - apiVersion: v2
    appVersion: "3.16"
    created: "2024-01-01T00:00:00Z"
    description: Deploy a basic Alpine pod
    digest: 99c76e403d752c84ead610644d4b1c2f2b453a74b921f422b9dcb8a7c8b559cd
    keywords:
    - linux
    name: alpine
    urls:
    - https://charts.example.com/alpine-1.0.0.tgz
    - http://mirror.example.com/alpine-1.0.0.tgz
    version: 1.0.0
  - name: alpine
    version: 2.0.0-rc.1
    urls: [alpine-2.0.0-rc.1.tgz]
  nginx:
  - name: nginx
    version: 0.1.0
    urls:
    - charts/nginx-0.1.0.tgz
generated: "2024-01-01T00:00:00Z"
`,
	"indented lists":                  "apiVersion: v1\nentries:\n    a:\n        - name: a\n          version: 1.0.0\n          urls:\n              - a.tgz\n        -\n          name: a\n          version: 1.1.0\n    b:\n        - {name: b, version: 1.2.3}\n",
	"comments, blanks and a document": "---\n# an index\napiVersion: v1 # the first\n\nentries: # all\n  # a\n  a:\n  # one\n  - name: a\n\n    # two\n    version: 1.0.0\n\n  b:\n\n  - name: b\n    version: 2.0.0\n# done\ngenerated: 2024-01-01T00:00:00Z\n...\nfoo: bar\n",
	"windows":                         "apiVersion: v1\r\nentries:\r\n  a:\r\n  - name: a\r\n    version: 1.0.0\r\n",
	"quotes":                          "\"apiVersion\": 'v1'\n'entries':\n  \"a\":\n  - \"name\": \"a\"\n    'version': '1.0.0'\n",
	"texts that look like more":       "apiVersion: v1\nentries:\n  a:\n  - name: a\n    description: |\n      - name: evil\n        version: 9.0.0\n      entries:\n      # no comment\n    version: 1.0.0\n  - name: a\n    version: 1.1.0\n    annotations:\n      x: >-\n        b:\n\n        - name: b\n",
	"a text in quotes over lines":     "apiVersion: v1\nentries:\n  a:\n  - name: a\n    description: \"first\n  - name: evil\n    version: 9.0.0\n    last\"\n    version: 1.0.0\n",
	"anchors":                         "apiVersion: v1\nentries:\n  a:\n  - &a\n    name: a\n    version: 1.0.0\n    urls: &u\n    - a.tgz\n  - name: a\n    version: 1.1.0\n    urls: *u\n",
	"all in one line":                 "{apiVersion: v1, entries: {a: [{name: a, version: 1.0.0}]}}",
	"entries in one line":             "apiVersion: v1\nentries: {a: [{name: a, version: 1.0.0}], b: []}\n",
	"JSON":                            `{"apiVersion":"v1","entries":{"a":[{"name":"a","version":"1.0.0","urls":["x,]}\"y"],"maintainers":[{"name":"[\\"}]},null,{"name":"a","version":"1.1.0"}],"b":[],"c":null},"serverInfo":{"a":[1,{}]},"generated":"2024-01-01T00:00:00Z"}`,
	"JSON, widely":                    "\n{ \"entries\" : { \"a\" : [ { \"name\" : \"a\" , \"version\" : \"1.0.0\" } ] } , \"apiVersion\" : \"v1\" }\n",
	"entries that are not valid":      "apiVersion: v1\nentries:\n  a:\n  -\n  - name: a\n  - version: 1.0.0\n  - name: a\n    version: one\n  - name: ../a\n    version: 1.0.0\n  - name: a\n    version: 1.0.0\n    type: other\n  - name: a\n    version: 1.0.0\n    maintainers: [null]\n  - name: a\n    version: 3.0.0\n    dependencies:\n    - name: x\n      repository: r\n    - name: x\n      repository: r\n  - name: a\n    version: 4.0.0\n    dependencies:\n    - name: x\n      alias: a.b\n      repository: r\n",
	"numbers for texts":               "apiVersion: v1\nentries:\n  a:\n  - name: a\n    version: 1\n    appVersion: 1.20\n",
	"no entries":                      "apiVersion: v1\nentries: {}\n",
	"nothing of entries":              "apiVersion: v1\n",
	"no apiVersion":                   "entries:\n  a:\n  - name: a\n    version: 1.0.0\n",
	"a chart of nothing":              "apiVersion: v1\nentries:\n  a:\n  b: []\n  c: null\n",
	"a chart of a map":                "apiVersion: v1\nentries:\n  a:\n    name: a\n",
	"no map":                          "- a\n- b\n",
	"tabs":                            "apiVersion: v1\nentries:\n\ta:\n",
	"cut off":                         "apiVersion: v1\nentries:\n  a:\n  - name: \"a",
	"keys over lines":                 "publicKeys: [a,\nentries,\nb]\napiVersion: \"v\n\nentries: {}\"\nentries:\n  a:\n  - name: a\n    version: 1.0.0\n",
}

func TestAnIndexIsReadAsHelmReadsIt(t *testing.T) {
	t.Parallel()
	for name, text := range writtenIndexes {
		want, failure := helmsIndex(t, text)
		got, err := parseIndex(t.Context(), []byte(text), nil)
		if (err == nil) != (failure == nil) && name != "numbers for texts" { // helm refuses the whole for that entry
			t.Errorf("%s: %v, helm %v", name, err, failure)
			continue
		}
		if err == nil && failure == nil {
			if diff := cmp.Diff(want, versions(got)); diff != "" {
				t.Errorf("%s (-helm +here):\n%s", name, diff)
			}
		}
	}
}

// helmsIndex is what helm makes of an index: of each chart the versions with their addresses.
func helmsIndex(t testing.TB, text string) (map[string][]string, error) {
	name := filepath.Join(t.TempDir(), "index.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	index, err := repo.LoadIndexFile(name)
	if err != nil {
		return nil, err
	}
	all := map[string][]string{}
	for chart, entries := range index.Entries {
		for _, e := range entries {
			url := ""
			if len(e.URLs) > 0 {
				url = e.URLs[0]
			}
			all[chart] = append(all[chart], e.Version+" "+url)
		}
		slices.Sort(all[chart])
		if len(entries) == 0 {
			delete(all, chart)
		}
	}
	return all, nil
}

func versions(x *index) map[string][]string {
	all := map[string][]string{}
	for chart, releases := range x.charts {
		for _, r := range releases {
			all[chart] = append(all[chart], r.version+" "+r.url)
		}
		slices.Sort(all[chart])
	}
	return all
}

func TestAnIndexIsTakenApartWhereHelmWroteIt(t *testing.T) {
	t.Parallel()
	apart := []string{"as helm writes it", "indented lists", "comments, blanks and a document", "windows", "quotes", "texts that look like more", "entries that are not valid"}
	for _, name := range apart {
		p := &indexParser{ctx: t.Context(), index: &index{charts: map[string][]release{}}}
		if err := p.yaml([]byte(writtenIndexes[name])); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheVersionIsChosenAsFluxChoosesIt(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	text.WriteString("apiVersion: v1\nentries:\n  a:\n")
	for i, version := range []string{"1.0.0", "1.2.0", "v1.1.0", "1.2.0+new", "2.0.0-rc.1", "2.0.0-rc.2", "0.9", "1.2.0+old"} {
		created := 10 + i
		if version == "1.2.0+old" {
			created = 1
		}
		fmt.Fprintf(&text, "  - name: a\n    version: %q\n    created: 2024-01-%02dT00:00:00Z\n", version, created)
	}
	x, err := parseIndex(t.Context(), []byte(text.String()), nil)
	if err != nil {
		t.Fatal(err)
	}
	for want, version := range map[string]string{
		"": "1.2.0+new", "*": "1.2.0+new", "1.x": "1.2.0+new", "~1.1": "v1.1.0", "<1.1": "1.0.0", "1.2.0+old": "1.2.0+old", "1.2.0": "1.2.0",
		">=1.0.0-0": "2.0.0-rc.2", "2.0.0-rc.1": "2.0.0-rc.1", "0.9": "0.9", "v1.1.0": "v1.1.0", "1.1.0": "v1.1.0", "3": "", "~0.9": "",
	} {
		got, err := x.find("a", want)
		if got.version != version || (err == nil) != (version != "") {
			t.Errorf("range %q: %q (%v), want %q", want, got.version, err, version)
		}
	}
}

func TestIndexesAreKeptWithinTheirBoundsAndReadOnce(t *testing.T) {
	t.Parallel()
	x := newIndexes(2000)
	read := 0
	load := func(chart string) func() ([]byte, error) {
		return func() ([]byte, error) {
			read++
			return fmt.Appendf(nil, "apiVersion: v1\nentries:\n  %s:\n  - name: a\n    version: 1.0.0\n    urls: [%s]\n", chart, strings.Repeat("u", 400)), nil
		}
	}
	get := func(n byte) {
		t.Helper()
		if _, err := x.get(t.Context(), [32]byte{n}, load(fmt.Sprint("c", n))); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []byte{1, 2, 1, 2, 1} {
		get(n)
	}
	if read != 2 {
		t.Errorf("2 indexes were read %d times", read)
	}
	for n := byte(3); n < 20; n++ {
		get(n)
		get(1) // in use
	}
	if read != 19 || x.size > 2000 || len(x.known) != len(x.order) || len(x.known) < 2 {
		t.Errorf("read %d times, %d bytes of %d indexes, %d in order", read, x.size, len(x.known), len(x.order))
	}
}

// What stood in the index before is not parsed again, and comes to the same.
func TestOnlyWhatChangedOfAnIndexIsParsed(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"apiVersion: v1\nentries:\n  a:\n  - name: a\n    version: 1.0.0\n    urls: [x]\n  - name: a\n    version: 1.1.0\n  b:\n  - name: a\n    version: 1.0.0\n    urls: [x]\n",
		`{"apiVersion":"v1","entries":{"a":[{"name":"a","version":"1.0.0","urls":["x"]},{"name":"a","version":"1.1.0"}],"b":[{"name":"a","version":"1.0.0","urls":["x"]}]}}`,
	} {
		parse := func(text string, before *index) (*index, int) {
			p := &indexParser{ctx: t.Context(), index: &index{charts: map[string][]release{}}, known: before.texts()}
			read := p.yaml
			if json.Valid([]byte(text)) {
				read = p.json
			}
			if err := read([]byte(text)); err != nil {
				t.Fatal(err)
			}
			return p.index, p.parsed
		}
		first, n := parse(text, nil)
		if n != 3 || len(first.charts["b"]) != 1 {
			t.Fatalf("%d parsed, %v", n, versions(first))
		}
		again, n := parse(text, first)
		if diff := cmp.Diff(versions(first), versions(again)); n != 0 || diff != "" || again.size != first.size {
			t.Errorf("%d of an unchanged index parsed\n%s", n, diff)
		}
		changed := strings.Replace(text, "1.1.0", "1.2.0", 1)
		next, n := parse(changed, again)
		if n != 1 || versions(next)["a"][1] != "1.2.0 " {
			t.Errorf("%d of one change parsed: %v", n, versions(next))
		}
	}
}

func FuzzIndex(f *testing.F) {
	for _, name := range slices.Sorted(maps.Keys(writtenIndexes)) {
		f.Add(writtenIndexes[name])
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 20_000 {
			return
		}
		got, err := parseIndex(t.Context(), []byte(text), nil)
		if err != nil || json.Valid([]byte(text)) {
			return
		}
		// What helm refuses for a field that it does not know is taken here; what both take is the same.
		if want, failure := helmsIndex(t, text); failure == nil {
			if diff := cmp.Diff(want, versions(got)); diff != "" {
				t.Errorf("(-helm +here):\n%s", diff)
			}
		}
	})
}
