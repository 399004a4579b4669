package oci_test

import (
	"compress/gzip"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/flux"
)

// A few MiB that a registry sends are not many more when they are read. The heap is the process', so nothing runs beside.
func TestMemoryStaysBoundedWhateverARegistrySends(t *testing.T) {
	many := func(before, each, after string) []byte {
		return []byte(before + strings.TrimSuffix(strings.Repeat(each, (3<<20)/len(each)), ",") + after)
	}
	keys := &strings.Builder{}
	for i := range 300_000 {
		_, _ = fmt.Fprintf(keys, `"%x":"",`, i)
	}
	for name, test := range map[string]struct {
		path string
		body []byte
		kind source.Kind
		says string
	}{
		"layers":      {"/manifests/", many(`{"layers":[`, `{},`, `]}`), source.KindContent, "has more than 2000 layers or manifests"},
		"manifests":   {"/manifests/", many(`{"manifests":[`, `{},`, `]}`), source.KindContent, "has more than 2000 layers or manifests"},
		"annotations": {"/manifests/", []byte(`{"annotations":{` + keys.String() + `"":""}}`), source.KindContent, "has more than 2000 annotations"},
		"tags":        {"/tags/", many(`{"tags":[`, `"",`, `]}`), source.KindLimit, "has more than 100000 names; name a tag or a digest in spec.ref"},
	} {
		s, b := plain(t), fetcher(t)
		answers(s, test.path, sends(ocispec.MediaTypeImageManifest, test.body))
		u := upstream(s, func(o *flux.OCIRepository, _ source.Secrets) {
			if test.path == "/tags/" {
				o.Ref = &flux.OCIReference{SemVer: "*"}
			}
		})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _, err := fetched(t.Context(), b, u)
		runtime.ReadMemStats(&after)
		refused(t, err, test.kind, test.says)
		if taken := after.TotalAlloc - before.TotalAlloc; taken > 40<<20 {
			t.Errorf("%s: %d MiB were taken for %d", name, taken>>20, len(test.body)>>20)
		}
	}
}

// What a layer holds is not in memory at once, and what is ignored never is. The heap is the process', so nothing runs beside.
func TestMemoryStaysBoundedWhateverIsInALayer(t *testing.T) {
	s, b := plain(t), fetcher(t)
	content := map[string]string{".sourceignore": "/ignored", "kept": "yes"}
	for i := range 32 {
		content[fmt.Sprintf("ignored/%d", i)] = strings.Repeat(strconv.Itoa(i), 1<<19)
	}
	layer := packed(t, content, gzip.NoCompression)
	s.manifest(t, "latest", image(s.blob(t, fluxConfig, []byte("{}")), s.blob(t, fluxLayer, layer)))
	u := upstream(s)
	found, err := b.Resolve(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got, err := b.Fetch(t.Context(), u, found)
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if taken := after.TotalAlloc - before.TotalAlloc; taken > uint64(len(layer))/2 {
		t.Errorf("%d KiB were taken for a layer of %d KiB that is ignored", taken>>10, len(layer)>>10)
	}
	if len(got.Tree.Files) != 2 || b.store.Len() != 2 {
		t.Errorf("%d files, %d blobs", len(got.Tree.Files), b.store.Len())
	}
}
