package deploy

import (
	"fmt"
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/manifest"
	"flotilla.dev/flotilla/pkg/subst"
)

// BenchmarkResolve makes the objects of an App of 1,000 that have variables in them, as a pass with new variables does.
// Its times-plain is how much longer that takes than parsing the same documents alone.
func BenchmarkResolve(b *testing.B) {
	const objects = 1000
	in := &inputs{substitutes: true, variables: subst.Variables{}}
	in.variables.Set("WORLD", subst.Variable{Value: "earth"})
	var documents [][]byte
	for i := range objects {
		documents = append(documents, fmt.Appendf(nil, "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c%d\n  namespace: apps\ndata:\n  hello: ${WORLD}\n  other: ${NONE:=default}\n", i))
	}
	m, blobs, err := manifest.New(documents, manifest.Options{Substitute: true})
	if err != nil {
		b.Fatal(err)
	}
	const tries = 10
	began := time.Now()
	for range tries {
		for _, entry := range m.Entries {
			if _, err := manifest.Parse(blobs[entry.Digest]); err != nil {
				b.Fatal(err)
			}
		}
	}
	plain := time.Since(began) / tries
	for b.Loop() {
		for _, entry := range m.Entries {
			if made, err := in.object(b.Context(), entry, blobs[entry.Digest]); err != nil || made.plain {
				b.Fatal(err, made.plain)
			}
		}
	}
	perObject := float64(b.Elapsed()) / float64(b.N) / objects
	b.ReportMetric(perObject/1e3, "µs/object")
	b.ReportMetric(perObject*objects/float64(plain), "times-plain")
}
