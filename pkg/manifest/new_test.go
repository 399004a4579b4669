package manifest_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
)

func TestNewOrdersObjectsAsFluxAppliesThem(t *testing.T) {
	t.Parallel()
	m := mustNew(t,
		object("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "", "hook"),
		object("example.com/v1", "Widget", "apps", "b"),
		object("apps/v1", "Deployment", "apps", "web"),
		object("v1", "Service", "apps", "web"),
		object("v1", "ConfigMap", "apps", "b"),
		object("v1", "ConfigMap", "apps", "a"),
		object("networking.k8s.io/v1", "IngressClass", "", "nginx"),
		object("example.com/v1", "WidgetClass", "", "gold"),
		object("rbac.authorization.k8s.io/v1", "ClusterRole", "", "reader"),
		object("v1", "Namespace", "", "apps"),
		object("example.com/v1", "Namespace", "apps", "not-the-core-one"),
		object("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", "widgets.example.com"),
		object("v1", "ServiceAccount", "apps", "web"),
	)
	var got []string
	for _, entry := range m.Entries {
		got = append(got, fmt.Sprintf("%d %s", entry.Stage, entry.Ref))
	}
	want := []string{
		"0 CustomResourceDefinition/widgets.example.com",
		"0 Namespace/apps",
		"0 ClusterRole/reader",
		"1 IngressClass/nginx",
		"1 WidgetClass.example.com/gold",
		"2 Namespace.example.com/apps/not-the-core-one",
		"2 ServiceAccount/apps/web",
		"2 ConfigMap/apps/a",
		"2 ConfigMap/apps/b",
		"2 Service/apps/web",
		"2 Deployment/apps/web",
		"2 Widget.example.com/apps/b",
		"2 ValidatingWebhookConfiguration/hook",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestNewReadsFluxAnnotationsFromLabelsOrAnnotationsInAnyCase(t *testing.T) {
	t.Parallel()
	const doc = `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, %s: {%s: %q}}}`
	for _, tc := range []struct {
		place, key, value string
		want              manifest.Mode
	}{
		{"annotations", manifest.AnnotationPrune, "disabled", manifest.Mode{PruneDisabled: true}},
		{"labels", manifest.AnnotationPrune, "Disabled", manifest.Mode{PruneDisabled: true}},
		{"annotations", manifest.AnnotationPrune, "enabled", manifest.Mode{}},
		{"labels", manifest.AnnotationReconcile, "DISABLED", manifest.Mode{ReconcileDisabled: true}},
		{"annotations", manifest.AnnotationSSA, "merge", manifest.Mode{SSA: manifest.SSAMerge}},
		{"labels", manifest.AnnotationSSA, "ifnotpresent", manifest.Mode{SSA: manifest.SSAIfNotPresent}},
		{"annotations", manifest.AnnotationSSA, "Ignore", manifest.Mode{SSA: manifest.SSAIgnore}},
		{"annotations", manifest.AnnotationSSA, "Override", manifest.Mode{}},
		{"annotations", manifest.AnnotationProtect, "true", manifest.Mode{Protected: true}},
	} {
		if got := mustNew(t, fmt.Sprintf(doc, tc.place, tc.key, tc.value)).Entries[0].Mode; got != tc.want {
			t.Errorf("%s %s=%s: %+v, want %+v", tc.place, tc.key, tc.value, got, tc.want)
		}
	}
}

func TestNewExpandsLists(t *testing.T) {
	t.Parallel()
	m := mustNew(t, `
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}
- apiVersion: v1
  kind: ConfigMapList
  items:
  - {apiVersion: v1, kind: ConfigMap, metadata: {name: b}}
`, `{apiVersion: v1, kind: List, items: null}`)
	if len(m.Entries) != 2 || m.Entries[0].Ref.Name != "a" || m.Entries[1].Ref.Name != "b" {
		t.Errorf("entries %+v, want ConfigMaps a and b", m.Entries)
	}
}

func TestNewOfTheSameObjectsInAnyOrderAndFormIsTheSameManifest(t *testing.T) {
	t.Parallel()
	first := mustNew(t, object("v1", "ConfigMap", "x", "a"), object("v1", "Secret", "x", "a"))
	second := mustNew(t,
		`{"kind":"Secret","metadata":{"namespace":"x","name":"a"},"apiVersion":"v1"}`,
		"# a comment\n---\nkind: ConfigMap\nmetadata: {namespace: x, name: a}\napiVersion: v1\n")
	if first.Digest() != second.Digest() {
		t.Errorf("digests %s and %s differ", first.Digest(), second.Digest())
	}
}

func TestNewRefusesNamingTheObject(t *testing.T) {
	t.Parallel()
	deep := object("v1", "ConfigMap", "", "x")
	for range 10 {
		deep = `{"apiVersion":"v1","kind":"List","items":[` + deep + `]}`
	}
	for name, tc := range map[string]struct {
		docs []string
		want string
	}{
		"no kind":           {[]string{`{"apiVersion":"v1","metadata":{"name":"a"}}`}, "object 1 of 1: ?/a: kind is missing"},
		"no apiVersion":     {[]string{`{"kind":"Pod","metadata":{"name":"a"}}`}, "Pod/a: apiVersion is missing"},
		"no name":           {[]string{"x: {}", `{"apiVersion":"v1","kind":"Pod","metadata":{"generateName":"a"}}`}, "object 1 of 2: ?/?: apiVersion is missing, kind is missing, metadata.name is missing"},
		"name a number":     {[]string{`{"apiVersion":"v1","kind":"Pod","metadata":{"name":1}}`}, "metadata.name is not a string"},
		"name a path":       {[]string{object("v1", "Pod", "", "a/b")}, `metadata.name "a/b" has characters`},
		"control character": {[]string{"{apiVersion: v1, kind: Pod, metadata: {name: \"a\\e\"}}"}, "has characters"},
		"odd apiVersion":    {[]string{object("a/b/c", "Pod", "", "a")}, `apiVersion "a/b/c" is not`},
		"long name":         {[]string{object("v1", "Pod", "", strings.Repeat("a", 254))}, "longer than 253"},
		"twice":             {[]string{object("v1", "Pod", "x", "a"), object("v1", "Pod", "x", "a")}, "object 2 of 2: Pod/x/a is there twice: object 1 is the same"},
		"twice, version":    {[]string{object("apps/v1", "Deployment", "x", "a"), object("apps/v1beta1", "Deployment", "x", "a")}, "is there twice"},
		"broken YAML":       {[]string{"a: b: c"}, "object 1 of 1"},
		"key twice":         {[]string{"apiVersion: v1\nkind: Pod\nkind: Job\nmetadata: {name: a}"}, `key "kind" already set`},
		"two documents":     {[]string{"a: 1\n---\nb: 1"}, "more than one YAML document"},
		"two, dots":         {[]string{"a: 1\n...\nb: 1"}, "more than one YAML document"},
		"two of JSON":       {[]string{"{} {}"}, "object 1 of 1: "},
		"a scalar":          {[]string{"hello"}, "not a mapping"},
		"scalar in a list":  {[]string{`{apiVersion: v1, kind: List, items: [1]}`}, "List: items[0] is not an object"},
		"lists in lists":    {[]string{deep}, "nested too deep"},
		"too large":         {[]string{strings.Replace(object("v1", "Pod", "", "a"), "{", `{"x":"`+strings.Repeat("y", manifest.MaxObjectSize)+`",`, 1)}, "Pod/a has"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := manifest.New(documents(tc.docs...), manifest.Options{})
			if !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %q, want an invalid one with %q", err, tc.want)
			}
		})
	}
}

func TestNewRefusesWhatSOPSHasEncryptedUnlessItIsToBeAppliedSo(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		doc, refused string
	}{
		"a Secret":            {`{apiVersion: v1, kind: Secret, metadata: {name: a, namespace: x}, data: {p: "ENC[AES256_GCM,data:Zm9v]"}, sops: {mac: "ENC[AES256_GCM,data:YmFy]", version: 3.9.0}}`, "Secret/x/a"},
		"another kind":        {`{apiVersion: example.com/v1, kind: Widget, metadata: {name: a, namespace: x}, sops: {mac: "ENC[]"}}`, "Widget.example.com/x/a"},
		"one of a list":       {`{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, sops: {mac: "ENC[]"}}]}`, "ConfigMap/a"},
		"decrypted there":     {`{apiVersion: example.com/v1, kind: Widget, metadata: {name: a, annotations: {kustomize.toolkit.fluxcd.io/decrypt: Disabled}}, sops: {mac: "ENC[]"}}`, ""},
		"a label":             {`{apiVersion: example.com/v1, kind: Widget, metadata: {name: a, labels: {kustomize.toolkit.fluxcd.io/decrypt: disabled}}, sops: {mac: "ENC[]"}}`, "Widget.example.com/a"},
		"a field of the name": {`{apiVersion: example.com/v1, kind: Widget, metadata: {name: a}, sops: {keys: 1}, spec: {sops: {mac: "ENC[]"}}}`, ""},
		"a word":              {`{apiVersion: example.com/v1, kind: Widget, metadata: {name: a}, sops: mac}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := manifest.New(documents(tc.doc), manifest.Options{})
			if tc.refused == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if want := tc.refused + ": it is encrypted with SOPS, and the App has no spec.decryption"; !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want %q", err, want)
			}
		})
	}
}

func TestNewBoundsObjectsAndSize(t *testing.T) {
	t.Parallel()
	docs := make([]string, manifest.MaxObjects+1)
	for i := range docs {
		docs[i] = object("v1", "ConfigMap", "", fmt.Sprint("c", i))
	}
	if _, _, err := manifest.New(documents(docs...), manifest.Options{}); err == nil || !strings.Contains(err.Error(), "ConfigMap/c20000 is one too many") {
		t.Errorf("error %v, want one that names the object too many", err)
	}
	large := make([]string, 9)
	for i := range large {
		large[i] = strings.Replace(object("v1", "ConfigMap", "", fmt.Sprint("c", i)), "{", `{"x":"`+strings.Repeat("y", 5<<19)+`",`, 1)
	}
	if _, _, err := manifest.New(documents(large...), manifest.Options{}); err == nil || !strings.Contains(err.Error(), "bytes together") {
		t.Errorf("error %v, want one about the sum", err)
	}
}

// object is a minimal object as JSON.
func object(apiVersion, kind, namespace, name string) string {
	if namespace != "" {
		namespace = fmt.Sprintf(`"namespace":%q,`, namespace)
	}
	return fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"metadata":{%s"name":%q}}`, apiVersion, kind, namespace, name)
}

func documents(docs ...string) [][]byte {
	out := make([][]byte, len(docs))
	for i, doc := range docs {
		out[i] = []byte(doc)
	}
	return out
}

func mustNew(t testing.TB, docs ...string) *manifest.Manifest {
	t.Helper()
	m, blobs, err := manifest.New(documents(docs...), manifest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range m.Entries {
		if data, has := blobs[entry.Digest]; !has || len(data) != entry.Size || fleet.DigestOf(data) != entry.Digest {
			t.Errorf("the blob of %s is not what its entry says", entry.Ref)
		}
	}
	return m
}
