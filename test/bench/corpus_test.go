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
