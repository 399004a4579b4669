package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func TestFileSaysWhatTheObjectIsToShow(t *testing.T) {
	t.Parallel()
	for _, s := range shapes {
		c := newCorpus(s, "space", 3)
		want := c.change([]int{1})
		file, err := c.file(1)
		if err != nil {
			t.Fatal(err)
		}
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(file), &object.Object); err != nil {
			t.Fatal(err)
		}
		if object.GetKind() != s.kind || object.GetNamespace() != "space" || object.GetName() != c.name(1) {
			t.Errorf("the file is of %s %s/%s", object.GetKind(), object.GetNamespace(), object.GetName())
		}
		if got := s.version(object); len(want) != 1 || got != want[c.key(1)] || got == "" {
			t.Errorf("%s shows version %q, want %v", s.kind, got, want)
		}
	}
}

func TestChangeGivesNewVersionsToThoseObjectsOnly(t *testing.T) {
	t.Parallel()
	for _, s := range shapes {
		c, other := newCorpus(s, "a", 3), newCorpus(s, "a", 3)
		before := []map[string]any{c.object(0), c.object(1), c.object(2)}
		changed := c.change([]int{2})
		for i := range 3 {
			if moved := !cmp.Equal(before[i], c.object(i)); moved != (i == 2) {
				t.Errorf("object %d: changed %v", i, moved)
			}
		}
		if diff := cmp.Diff(changed, other.change([]int{2})); diff != "" {
			t.Errorf("two corpora changed alike differ:\n%s", diff)
		}
	}
}

// What an overlay makes of the objects is known by the keys of a view.
func TestOverlaidObjectsAreABaseWithoutNamespace(t *testing.T) {
	t.Parallel()
	c := newCorpus(shapes[1], "space", 2)
	c.overlaid = true
	if object := c.object(1); !cmp.Equal(object["metadata"].(map[string]any)["namespace"], nil) || c.key(1) != "Deployment/over-c00001" || c.dir() != "base" {
		t.Errorf("%v is %s in %s", object["metadata"], c.key(1), c.dir())
	}
	for path, want := range map[string]map[string]any{
		"base/kustomization.yaml": {"resources": []any{"c00000.yaml", "c00001.yaml"}},
		"deploy/kustomization.yaml": {
			"resources": []any{"../base"}, "namespace": "space", "namePrefix": "over-",
			"labels": []any{map[string]any{"pairs": map[string]any{"team": "bench"}}},
			"images": []any{map[string]any{"name": "registry.example.com/team/c00000", "newTag": "1.2.4"}},
		},
	} {
		var got map[string]any
		if err := yaml.Unmarshal([]byte(c.kustomizations()[path]), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	c.overlaid = false
	if files := c.kustomizations(); len(files) > 0 {
		t.Errorf("without overlay there are %v", files)
	}
}

// The bare loop's objects are those that the cluster has of the app, but for who applied them.
func TestBodyHasTheMarksOfTheLiveObjectAndItsOwnVersion(t *testing.T) {
	t.Parallel()
	for _, s := range shapes {
		live := &unstructured.Unstructured{Object: newCorpus(s, "app", 1).object(0)}
		labels := live.GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		labels["owner"] = "app"
		live.SetLabels(labels)
		live.SetAnnotations(map[string]string{"origin": "a file"})
		c := newCorpus(s, "bare", 1)
		var err error
		if c.marks, err = marksOf([]unstructured.Unstructured{*live}, 1, c.name); err != nil {
			t.Fatal(err)
		}
		want := c.change([]int{0})[c.key(0)]
		object := &unstructured.Unstructured{Object: c.object(0)}
		if object.GetLabels()["owner"] != "app" || object.GetAnnotations()["origin"] != "a file" {
			t.Errorf("%s has labels %v, annotations %v", s.kind, object.GetLabels(), object.GetAnnotations())
		}
		if got := s.version(object); got != want {
			t.Errorf("%s shows %q, want %q", s.kind, got, want)
		}
		if _, err := marksOf(nil, 1, c.name); err == nil {
			t.Error("an object that is not in the cluster is not missed")
		}
	}
}
