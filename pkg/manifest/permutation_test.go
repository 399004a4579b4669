package manifest_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"flotilla.dev/flotilla/pkg/manifest"
)

// TestTheOrderOfDocumentsDoesNotMatter makes Manifests of the same documents in two orders: 10,000 times, and more with
// -rapid.checks; with -short 100 times.
func TestTheOrderOfDocumentsDoesNotMatter(t *testing.T) {
	t.Parallel()
	kinds := []string{"v1/ConfigMap", "v1/Namespace", "v1/ServiceAccount", "apps/v1/Deployment", "example.com/v1/Widget"}
	times := 100
	if testing.Short() {
		times = 1
	}
	for range times {
		rapid.Check(t, func(t *rapid.T) {
			var documents [][]byte
			for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(0, 24), 0, 6, rapid.ID).Draw(t, "objects") {
				kind := kinds[i%len(kinds)]
				at := len(kind) - 1
				for kind[at] != '/' {
					at--
				}
				documents = append(documents, fmt.Appendf(nil, `{"apiVersion":%q,"kind":%q,"metadata":{"name":"n%d","namespace":"x"}}`, kind[:at], kind[at+1:], i))
			}
			other := rapid.Permutation(documents).Draw(t, "another order")
			a, _, err1 := manifest.New(documents, manifest.Options{})
			b, _, err2 := manifest.New(other, manifest.Options{})
			if err1 != nil || err2 != nil || a.Digest() != b.Digest() {
				t.Fatalf("%v, %v: %v is not %v", err1, err2, a, b)
			}
		})
	}
}
