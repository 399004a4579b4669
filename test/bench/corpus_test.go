package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

func TestFileSaysWhatTheObjectIsToHave(t *testing.T) {
	t.Parallel()
	c := newCorpus("space", 3)
	want := c.change([]int{1})
	var object corev1.ConfigMap
	if err := yaml.UnmarshalStrict([]byte(c.file(1)), &object); err != nil {
		t.Fatal(err)
	}
	if object.Kind != "ConfigMap" || object.Namespace != "space" || object.Name != c.name(1) {
		t.Errorf("the file is of %s %s/%s", object.Kind, object.Namespace, object.Name)
	}
	if diff := cmp.Diff(want[c.name(1)], object.Data); diff != "" {
		t.Errorf("data (-want +got):\n%s", diff)
	}
	if size := len(c.file(1)); size < 550 || size > 650 {
		t.Errorf("the file has %d bytes; the report says 600", size)
	}
}

func TestChangeGivesNewValuesToThoseObjectsOnly(t *testing.T) {
	t.Parallel()
	c, other := newCorpus("a", 3), newCorpus("b", 3)
	before := c.wanted(c.all())
	changed := c.change([]int{2})
	after := c.wanted(c.all())
	for i := range 3 {
		if moved := !cmp.Equal(before[c.name(i)], after[c.name(i)]); moved != (i == 2) {
			t.Errorf("object %d: changed %v", i, moved)
		}
	}
	if diff := cmp.Diff(changed, other.change([]int{2})); diff != "" {
		t.Errorf("two corpora changed alike differ:\n%s", diff)
	}
}
