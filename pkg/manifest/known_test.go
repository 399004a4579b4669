package manifest_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
)

// memo keeps everything, and counts what it was asked for and had.
type memo struct {
	objects map[fleet.Digest]manifest.Object
	hits    int
}

func (m *memo) Get(key fleet.Digest) (manifest.Object, bool) {
	object, found := m.objects[key]
	if found {
		m.hits++
	}
	return object, found
}

func (m *memo) Put(key fleet.Digest, object manifest.Object, bytes int64) {
	ref := object.Entry.Ref
	if bytes < int64(cap(object.Blob)+len(ref.Group+ref.Version+ref.Kind+ref.Namespace+ref.Name)) {
		panic("it takes more than was said")
	}
	m.objects[key] = object
}

func TestAManifestOfKnownDocumentsIsTheSame(t *testing.T) {
	t.Parallel()
	documents := [][]byte{
		[]byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: $y}\n"),
		[]byte("apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: ConfigMap, metadata: {name: b}}]\n"),
		[]byte("# nothing\n"),
		[]byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n"),
	}
	known := &memo{objects: map[fleet.Digest]manifest.Object{}}
	for _, options := range []manifest.Options{{}, {Substitute: true}, {CommonMetadata: &fleet.CommonMetadata{Labels: map[string]string{"a": "b"}}}} {
		want, blobs, err := manifest.New(documents, options)
		if err != nil {
			t.Fatal(err)
		}
		before := known.hits
		for range 2 {
			got, gotBlobs, err := manifest.NewKnowing(known, documents, options)
			if err != nil || !bytes.Equal(want.Encode(), got.Encode()) || !maps.EqualFunc(blobs, gotBlobs, bytes.Equal) {
				t.Errorf("%+v: %v\n%s", options, err, cmp.Diff(want.Entries, got.Entries))
			}
		}
		if hits := known.hits - before; hits != 2 {
			t.Errorf("%+v: %d documents were known the second time, want the 2 that are an object each", options, hits)
		}
	}
	twice := [][]byte{documents[3], documents[0], documents[3]}
	_, _, want := manifest.New(twice, manifest.Options{})
	if _, _, err := manifest.NewKnowing(known, twice, manifest.Options{}); err == nil || err.Error() != want.Error() {
		t.Errorf("error %v, want %v", err, want)
	}
}

// What a build printed comes as one block of memory, which a document that is kept must not keep whole.
func TestWhatIsKnownOfADocumentKeepsNothingOfTheOthers(t *testing.T) {
	t.Parallel()
	printed := make([]byte, 0, 10<<10)
	var documents [][]byte
	for i := range 10 {
		begin := len(printed)
		printed = fmt.Appendf(printed, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a%d, namespace: %s}\ndata: {x: $y}\n", i, strings.Repeat("n", 200))
		documents = append(documents, printed[begin:])
	}
	known := &memo{objects: map[fleet.Digest]manifest.Object{}}
	want, _, err := manifest.NewKnowing(known, documents, manifest.Options{Substitute: true})
	if err != nil || len(known.objects) != len(documents) {
		t.Fatalf("%d are known, error %v", len(known.objects), err)
	}
	clear(printed)
	for _, entry := range want.Entries {
		if !slices.ContainsFunc(slices.Collect(maps.Values(known.objects)), func(o manifest.Object) bool { return fleet.DigestOf(o.Blob) == entry.Digest }) {
			t.Errorf("what is kept of %s is a part of what was printed", entry.Ref)
		}
	}
}

func BenchmarkNewKnowing(b *testing.B) {
	var documents [][]byte
	for i := range 1000 {
		documents = append(documents, fmt.Appendf(nil, "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: d%d\nspec:\n  replicas: 2\n  selector:\n    matchLabels:\n      app: d\n"+
			"  template:\n    metadata:\n      labels:\n        app: d\n    spec:\n      containers:\n      - image: registry.example.com/web:v1\n        name: web\n", i))
	}
	for name, known := range map[string]manifest.Known{"known": &memo{objects: map[fleet.Digest]manifest.Object{}}, "new": nil} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				var err error
				if known == nil {
					_, _, err = manifest.New(documents, manifest.Options{})
				} else {
					_, _, err = manifest.NewKnowing(known, documents, manifest.Options{})
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
