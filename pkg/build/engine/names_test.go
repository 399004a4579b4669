package engine

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/kustomize/kyaml/resid"
	"sigs.k8s.io/yaml"
)

// Every field of the table refers to an object of its kind, which gets another name.
func TestEveryKindOfReferenceIsThatOfKustomize(t *testing.T) {
	t.Parallel()
	fields := 0
	for _, r := range defaultSpecs().references {
		for _, field := range r.fields {
			fields++
			value := any("old")
			if field.Path == "subjects" || field.Path == "webhooks/clientConfig/service" || field.Path == "spec/configSource/configMap" {
				value = map[string]any{"kind": "ServiceAccount", "name": "old", "namespace": "default"}
			}
			got, sure := buildBoth(t, referring(t, r.to, field, value))
			if !sure {
				t.Errorf("%s to %s: a doubt", field, r.to)
			}
			if strings.Contains(r.to.Group, "/") {
				continue // a group that there cannot be; kustomize changes nothing
			}
			if !strings.Contains(got, ": p-old\n") || strings.Contains(got, ": old\n") && !strings.Contains(field.Path, "roleRef") {
				t.Errorf("%s to %s: the reference is not changed:\n%s", field, r.to, got)
			}
		}
	}
	if fields < 150 {
		t.Errorf("%d fields", fields)
	}
}

func TestOddReferencesAreThoseOfKustomizeOrDoubts(t *testing.T) {
	all := defaultSpecs().references
	rapid.Check(t, func(rt *rapid.T) {
		r := rapid.SampledFrom(all).Draw(rt, "to")
		field := rapid.SampledFrom(r.fields).Draw(rt, "field")
		files := referring(rt, r.to, field, drawOdd(rt, 2))
		files["/app/kustomization.yaml"] += rapid.SampledFrom([]string{"", "namespace: own\n", "namespace: elsewhere\n"}).Draw(rt, "moved")
		buildBoth(rt, files)
	})
}

func drawOdd(t *rapid.T, depth int) any {
	name := rapid.SampledFrom([]any{"old", "", "other", nil, 1, true, "p-old", "a,b"})
	if depth == 0 {
		return name.Draw(t, "name")
	}
	switch rapid.IntRange(0, 5).Draw(t, "shape") {
	case 0:
		return name.Draw(t, "name")
	case 1:
		return []any{drawOdd(t, depth-1), drawOdd(t, depth-1)}
	case 2:
		return map[string]any{"name": drawOdd(t, depth-1)}
	case 3:
		return map[string]any{"other": "old"}
	default:
		return map[string]any{"kind": "ServiceAccount", "name": name.Draw(t, "name"), "namespace": rapid.SampledFrom([]any{"default", "own", "elsewhere", "", nil, 7}).Draw(t, "namespace")}
	}
}

// referring is a tree of an object, and one that refers to it.
func referring(t interface{ Fatal(...any) }, to resid.Gvk, field types.FieldSpec, value any) map[string]string {
	path := defaultSpecs().paths[field.Path]
	for i := len(path) - 1; i >= 0; i-- {
		if part := path[i]; i > 0 && (part == "name" || part == "secretName" || part == "claimName") && strings.HasSuffix(path[i-1], "s") {
			value = []any{map[string]any{part: value}} // in a list, as in imagePullSecrets
		} else {
			value = map[string]any{part: value}
		}
	}
	referrer, _ := value.(map[string]any)
	metadata, _ := referrer["metadata"].(map[string]any)
	if metadata == nil {
		metadata = map[string]any{}
	}
	metadata["name"], referrer["metadata"] = "referrer", metadata
	id := field.Gvk
	id.Version = cmp.Or(id.Version, "v1")
	referrer["apiVersion"], referrer["kind"] = id.ApiVersion(), id.Kind
	if roleRef, is := referrer["roleRef"].(map[string]any); is {
		roleRef["kind"], roleRef["apiGroup"] = to.Kind, to.Group
	}
	to.Version = cmp.Or(to.Version, "v1")
	return map[string]string{
		"/app/kustomization.yaml": "resources: [target.yaml, referrer.yaml, other.yaml]\nnamePrefix: p-\n",
		"/app/target.yaml":        fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata: {name: old}\n", to.ApiVersion(), to.Kind),
		"/app/referrer.yaml":      marshal(t, referrer),
		"/app/other.yaml":         "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: unrelated, namespace: own}\n",
	}
}

func marshal(t interface{ Fatal(...any) }, object any) string {
	data, err := yaml.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// buildBoth returns what kustomize and the engine make of the files: the same, unless the engine has a doubt.
func buildBoth(t interface {
	Fatal(args ...any)
	Errorf(format string, args ...any)
}, files map[string]string,
) (string, bool) {
	fsys := filesys.MakeFsInMemory()
	for name, content := range files {
		if err := fsys.WriteFile(name, []byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	want, wanted := kustomizeTree(fsys)
	documents, err := New(1<<20).Build(context.Background(), fsys, "/app")
	var doubt *Doubt
	if errors.As(err, &doubt) {
		return string(want), false
	}
	if got := bytes.Join(documents, []byte("---\n")); err != nil || wanted != nil || !bytes.Equal(got, want) {
		t.Errorf("kustomize: %v\n%s\nhere: %v\n%s\n%v", wanted, want, err, got, files)
	}
	return string(want), true
}

func kustomizeTree(fsys filesys.FileSystem) (out []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	m, err := krusty.MakeKustomizer(&krusty.Options{LoadRestrictions: types.LoadRestrictionsNone, PluginConfig: types.DisabledPluginConfig()}).Run(fsys, "/app")
	if err != nil {
		return nil, err
	}
	return m.AsYaml()
}
