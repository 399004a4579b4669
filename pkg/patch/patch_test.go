package patch_test

import (
	"errors"
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/patch"
)

const web = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: apps
  labels: {app: web}
spec:
  replicas: 1
  template:
    spec:
      containers:
      - {name: main, image: a, args: ["${PORT}"]}
      - {name: side, image: b}
`

func TestPatchesDoWhatKustomizeDoes(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		patch   fleet.Patch
		want    string
		changed bool
	}{
		"strategic merge by what it names": {
			fleet.Patch{Patch: "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: apps}\nspec: {template: {spec: {containers: [{name: side, image: c}]}}}"},
			"image: c\n        name: side", true},
		"strategic merge with a target": {
			fleet.Patch{Patch: "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: any}\nspec: {replicas: 3}", Target: &fleet.PatchTarget{Kind: "Deployment"}},
			"replicas: 3", true},
		"JSON 6902": {
			fleet.Patch{Patch: "- {op: replace, path: /spec/replicas, value: 5}", Target: &fleet.PatchTarget{Name: "w.*", LabelSelector: "app=web"}},
			"replicas: 5", true},
		"common labels count":     {fleet.Patch{Patch: "- {op: replace, path: /spec/replicas, value: 6}", Target: &fleet.PatchTarget{LabelSelector: "team=a"}}, "replicas: 6", true},
		"a name in full only":     {fleet.Patch{Patch: "- {op: replace, path: /spec/replicas, value: 5}", Target: &fleet.PatchTarget{Name: "we"}}, "replicas: 1", false},
		"another label":           {fleet.Patch{Patch: "- {op: replace, path: /spec/replicas, value: 5}", Target: &fleet.PatchTarget{LabelSelector: "app=db"}}, "replicas: 1", false},
		"another namespace":       {fleet.Patch{Patch: "- {op: replace, path: /spec/replicas, value: 5}", Target: &fleet.PatchTarget{Namespace: "default"}}, "replicas: 1", false},
		"what it names elsewhere": {fleet.Patch{Patch: "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 3}"}, "replicas: 1", false},
		"a variable stays as text": {
			fleet.Patch{Patch: "- {op: add, path: /spec/minReadySeconds, value: '${SECONDS}'}", Target: &fleet.PatchTarget{Kind: "Deployment"}},
			"minReadySeconds: ${SECONDS}", true},
	} {
		set, err := patch.Parse([]fleet.Patch{tc.patch})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, changed, err := set.Apply([]byte(web), &fleet.CommonMetadata{Labels: map[string]string{"team": "a"}})
		if err != nil || changed != tc.changed || !strings.Contains(string(got), tc.want) {
			t.Errorf("%s: changed %v, error %v, want %q in:\n%s", name, changed, err, tc.want, got)
		}
		if strings.Contains(string(got), "team") {
			t.Errorf("%s: the common metadata is set:\n%s", name, got)
		}
	}
}

func TestAPatchThatMakesAnotherObjectIsRefusedByItsNumber(t *testing.T) {
	t.Parallel()
	fine := fleet.Patch{Patch: "- {op: replace, path: /spec/replicas, value: 5}", Target: &fleet.PatchTarget{Kind: "Deployment"}}
	for name, tc := range map[string]struct {
		fleet.Patch
		want string
	}{
		"renames":           {fleet.Patch{Patch: "- {op: replace, path: /metadata/name, value: other}", Target: &fleet.PatchTarget{Kind: "Deployment"}}, "patch 2 of the 2 that the cluster gets changes"},
		"moves":             {fleet.Patch{Patch: "- {op: replace, path: /metadata/namespace, value: other}", Target: &fleet.PatchTarget{Kind: "Deployment"}}, "patch 2 of the 2 that the cluster gets changes"},
		"another kind":      {fleet.Patch{Patch: "- {op: replace, path: /kind, value: StatefulSet}", Target: &fleet.PatchTarget{Kind: "Deployment"}}, "patch 2 of the 2 that the cluster gets changes"},
		"another version":   {fleet.Patch{Patch: "- {op: replace, path: /apiVersion, value: apps/v2}", Target: &fleet.PatchTarget{Kind: "Deployment"}}, "patch 2 of the 2 that the cluster gets changes"},
		"deletes":           {fleet.Patch{Patch: "$patch: delete\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: any}", Target: &fleet.PatchTarget{Kind: "Deployment"}}, "patch 2 of the 2 that the cluster gets deletes"},
		"deletes by name":   {fleet.Patch{Patch: "$patch: delete\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: apps}"}, "patch 2 of the 2 that the cluster gets deletes"},
		"cannot be applied": {fleet.Patch{Patch: "- {op: remove, path: /spec/paused}", Target: &fleet.PatchTarget{Kind: "Deployment"}}, "patch 2 of the 2 that the cluster gets: it cannot be applied"},
	} {
		set, err := patch.Parse([]fleet.Patch{fine, tc.Patch})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, _, err := set.Apply([]byte(web), nil); !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want %q", name, err, tc.want)
		}
	}
}

func TestParseRefusesWhatIsNoPatch(t *testing.T) {
	t.Parallel()
	target := &fleet.PatchTarget{Kind: "ConfigMap"}
	for name, bad := range map[string]fleet.Patch{
		"text":                    {Patch: "canary", Target: target},
		"JSON without a target":   {Patch: "- {op: remove, path: /data}"},
		"merge that names nobody": {Patch: "data: {canary: b}"},
		"no operation":            {Patch: "- {op: canary, path: /data}", Target: target},
		"no pointer":              {Patch: "- {op: remove, path: canary}", Target: target},
		"moved from nowhere":      {Patch: "- {op: move, path: /canary}", Target: target},
		"bad label selector":      {Patch: "- {op: remove, path: /data}", Target: &fleet.PatchTarget{LabelSelector: "a in"}},
		"bad annotation selector": {Patch: "- {op: remove, path: /data}", Target: &fleet.PatchTarget{LabelSelector: "a=b", AnnotationSelector: "a in"}},
		"two with one target":     {Patch: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}", Target: target},
		"bad expression":          {Patch: "- {op: remove, path: /data}", Target: &fleet.PatchTarget{Name: "a("}},
		"broken YAML":             {Patch: "a: b: canary", Target: target},
	} {
		_, err := patch.Parse([]fleet.Patch{bad})
		if !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), "patch 1 of the 1 that the cluster gets") || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestMayLooksAtTheReference(t *testing.T) {
	t.Parallel()
	set, err := patch.Parse([]fleet.Patch{
		{Patch: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}"},
		{Patch: "- {op: remove, path: /data}", Target: &fleet.PatchTarget{Kind: "Secret", LabelSelector: "a=b"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[fleet.ObjectRef]bool{
		{Version: "v1", Kind: "ConfigMap", Namespace: "default", Name: "a"}: true,
		{Version: "v1", Kind: "ConfigMap", Name: "a"}:                       true,
		{Version: "v1", Kind: "ConfigMap", Namespace: "x", Name: "a"}:       false,
		{Version: "v1", Kind: "Secret", Namespace: "x", Name: "b"}:          true,
		{Version: "v1", Kind: "Service", Namespace: "x", Name: "a"}:         false,
	} {
		if got := set.May(ref); got != want {
			t.Errorf("May(%s) = %v", ref, got)
		}
	}
}
