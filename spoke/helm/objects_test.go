package helm

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
)

func TestObjectsOfAReleaseAreNamedAsTheirKindsDemandAlsoBeforeTheyAreFollowed(t *testing.T) {
	b := newBundle(t)
	b.helm.manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: " + b.namespace + "}\n"
	b.deploy("web@1")
	b.until("they are followed", func() bool { return b.engine.Status(b.app).Objects == 2 })
	want := "[ClusterRole/" + b.namespace + " ConfigMap/" + b.namespace + "/a]"
	for range 2 {
		refs, err := b.engine.Objects(t.Context(), b.app)
		slices.SortFunc(refs, func(a, b fleet.ObjectRef) int { return strings.Compare(a.Kind, b.Kind) })
		if is := fmt.Sprint(refs); err != nil || is != want {
			t.Errorf("they are %s, want %s; error %v", is, want, err)
		}
		a := b.engine.known(b.app)
		a.mu.Lock()
		a.objects = nil // as before it is followed
		a.mu.Unlock()
	}
}

func TestObjectsOfAReleaseAreReadAsHelmAppliesThem(t *testing.T) {
	t.Parallel()
	manifest := `---
# Source: app/templates/a.yaml
apiVersion: v1
kind: ConfigMap
metadata:
  name: a
data: {big: "12345678901234567890", count: "1e3"}
---
# nothing but a comment
---
apiVersion: v1
kind: List
items:
- {apiVersion: apps/v1, kind: Deployment, metadata: {name: b, namespace: other}}
- {apiVersion: example.com/v1, kind: ThingList, metadata: {name: c}, spec: {count: 12345678901234567890}}
`
	stored := deflate([]byte(fmt.Sprintf(
		`{"chart":{"files":[{"data":"x"},[1,[]]],"n":null},"config":{"secret":"s"},"hooks":[{"manifest":"kind: Pod"}],"name":"app","namespace":"ns","version":3,"manifest":%q}`, manifest)))
	read, err := unpack(stored)
	if err != nil || read.Name != "app" || read.Namespace != "ns" || read.Version != 3 {
		t.Fatalf("read %+v, %v", read, err)
	}
	all, err := contentsOf(read)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`{"apiVersion":"v1","data":{"big":"12345678901234567890","count":"1e3"},"kind":"ConfigMap","metadata":{"annotations":{"meta.helm.sh/release-name":"app","meta.helm.sh/release-namespace":"ns"},"labels":{"app.kubernetes.io/managed-by":"Helm"},"name":"a"}}`,
		`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"annotations":{"meta.helm.sh/release-name":"app","meta.helm.sh/release-namespace":"ns"},"labels":{"app.kubernetes.io/managed-by":"Helm"},"name":"b","namespace":"other"}}`,
		`{"apiVersion":"example.com/v1","kind":"ThingList","metadata":{"annotations":{"meta.helm.sh/release-name":"app","meta.helm.sh/release-namespace":"ns"},"labels":{"app.kubernetes.io/managed-by":"Helm"},"name":"c"},"spec":{"count":12345678901234567890}}`,
	}
	refs := []fleet.ObjectRef{
		{Version: "v1", Kind: "ConfigMap", Name: "a"}, {Group: "apps", Version: "v1", Kind: "Deployment", Namespace: "other", Name: "b"},
		{Group: "example.com", Version: "v1", Kind: "ThingList", Name: "c"},
	}
	if len(all) != len(want) {
		t.Fatalf("%d objects", len(all))
	}
	for i := range want {
		if string(all[i].data) != want[i] || all[i].ref != refs[i] {
			t.Errorf("object %d is %v\n%s, want %v\n%s", i, all[i].ref, all[i].data, refs[i], want[i])
		}
	}
}

func contentsOf(v edition) (all []content, err error) {
	err = v.each(func(c content) error {
		all = append(all, c)
		return nil
	})
	return all, err
}

func TestWhatHelmDoesNotPackSoIsRefusedWithoutASecret(t *testing.T) {
	t.Parallel()
	for name, stored := range map[string][]byte{
		"no base64":          []byte("hidden!"),
		"no JSON":            deflate([]byte(`hidden`)),
		"another sort":       deflate([]byte(`{"manifest":["hidden"]}`)),
		"cut off":            deflate([]byte(`{"config":{"a":"hidden`)),
		"a broken manifest":  deflate([]byte(`{"manifest":"hidden: [hidden"}`)),
		"an object unnamed":  deflate([]byte(`{"manifest":"kind: Hidden\nhidden: hidden\n"}`)),
		"more than it may":   deflate([]byte(`{"config":"` + strings.Repeat("hidden ", maxInflated/6) + `"}`)),
		"a long manifest":    deflate([]byte(fmt.Sprintf(`{"manifest":%q}`, strings.Repeat("# hidden\n", maxManifest/8)))),
		"too many documents": deflate([]byte(fmt.Sprintf(`{"manifest":%q}`, strings.Repeat("---\n{apiVersion: v1, kind: A, metadata: {name: hidden}}\n", maxObjects+1)))),
	} {
		read, err := unpack(stored)
		if err == nil {
			_, err = contentsOf(read)
		}
		if !errors.Is(err, fleet.ErrInvalid) || strings.Contains(err.Error(), "idden") {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}
