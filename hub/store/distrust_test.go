package store_test

import (
	"fmt"
	"slices"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
)

func TestADistrustedShapeIsKeptAndTheNamespacesBuildsAreForgotten(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	manifest := fleet.DigestOf([]byte("manifest"))
	if err := b.Blobs().PutWhole(t.Context(), []byte("manifest"), nil); err != nil {
		t.Fatal(err)
	}
	keys := map[string][]fleet.Digest{}
	for _, namespace := range []string{"apps", "others"} {
		app := fleet.Key{Home: fleet.HubHome, Kind: "Kustomization", Namespace: namespace, Name: "app"}
		for _, inputs := range []fleet.BuildInputs{{App: app}, {App: app, Recipe: fleet.DigestOf([]byte(namespace)), Inputs: []byte("a")}} { // the first by its whole Tree
			key := fleet.DigestOf(fmt.Append(nil, namespace, string(inputs.Inputs)))
			keys[namespace] = append(keys[namespace], key)
			if err := b.SaveBuild(t.Context(), key, manifest, inputs); err != nil {
				t.Fatal(err)
			}
		}
	}
	one, two := fleet.DigestOf([]byte("one")), fleet.DigestOf([]byte("two"))
	for _, shape := range []fleet.Digest{one, two, one} {
		if err := b.Distrust(t.Context(), "apps", "v1", shape); err != nil {
			t.Fatal(err)
		}
	}
	for namespace, want := range map[string]int{"apps": 0, "others": 2} {
		if built, err := b.BuiltManifests(t.Context(), keys[namespace]); err != nil || len(built) != want {
			t.Errorf("%d builds of %s are found, want %d: %v", len(built), namespace, want, err)
		}
	}
	distrusted := func(namespace, builder string, want ...fleet.Digest) {
		t.Helper()
		if got, err := b.Distrusted(t.Context(), namespace, builder); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s distrusts %v in %s, want %v: %v", builder, got, namespace, want, err)
		}
	}
	distrusted("apps", "v1", two, one)
	distrusted("apps", "v2")
	distrusted("others", "v1")
}
