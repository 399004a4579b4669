package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// corpus is the objects of a namespace as they are to be, of one shape, numbered from 0. Two of the same size that were
// changed alike hold the same.
type corpus struct {
	shape     shape
	namespace string
	versions  []int
	fillers   []string
	// overlaid says that Git has them as a base, which an overlay gives their namespace and prefix.
	overlaid bool
	marks    []marks // empty: the objects have none
}

// marks are labels and annotations that an object has besides those of its shape.
type marks struct{ labels, annotations map[string]string }

// marksOf are those of the objects with the names of numbers, as they are in the cluster.
func marksOf(live []unstructured.Unstructured, size int, name func(int) string) ([]marks, error) {
	byName := map[string]marks{}
	for _, object := range live {
		byName[object.GetName()] = marks{object.GetLabels(), object.GetAnnotations()}
	}
	all := make([]marks, size)
	for i := range all {
		var found bool
		if all[i], found = byName[name(i)]; !found {
			return nil, fmt.Errorf("%s is not in the cluster", name(i))
		}
	}
	return all, nil
}

// prefix is what the overlay puts before names.
const prefix = "over-"

// fillerWords make a ConfigMap about 600 bytes long, as YAML.
const fillerWords = 30

func newCorpus(s shape, namespace string, size int) *corpus {
	c := &corpus{shape: s, namespace: namespace, versions: make([]int, size), fillers: make([]string, size)}
	for i := range size {
		random := rand.New(rand.NewPCG(uint64(i), 0))
		var filler strings.Builder
		for range fillerWords {
			fmt.Fprintf(&filler, "%016x ", random.Uint64())
		}
		c.fillers[i] = strings.TrimSpace(filler.String())
	}
	return c
}

func (c *corpus) name(i int) string { return fmt.Sprintf("c%05d", i) }

// key names the object in a view.
func (c *corpus) key(i int) string {
	if c.overlaid {
		return c.shape.kind + "/" + prefix + c.name(i)
	}
	return c.shape.kind + "/" + c.name(i)
}

func (c *corpus) object(i int) map[string]any {
	object := c.shape.object(c.name(i), strconv.Itoa(c.versions[i]), c.fillers[i])
	metadata := object["metadata"].(map[string]any)
	if !c.overlaid {
		metadata["namespace"] = c.namespace
	}
	if len(c.marks) > 0 {
		addMissing(metadata, "labels", c.marks[i].labels)
		addMissing(metadata, "annotations", c.marks[i].annotations)
	}
	return object
}

func addMissing(metadata map[string]any, field string, values map[string]string) {
	have, _ := metadata[field].(map[string]any)
	if have == nil {
		have = map[string]any{}
	}
	for key, value := range values {
		if _, has := have[key]; !has {
			have[key] = value
		}
	}
	metadata[field] = have
}

// file is the object as Git has it.
func (c *corpus) file(i int) (string, error) {
	text, err := yaml.Marshal(c.object(i))
	return string(text), err
}

// dir is where in Git the files are.
func (c *corpus) dir() string {
	if c.overlaid {
		return "base"
	}
	return "deploy"
}

// kustomizations are the kustomization files, by path; none, where a directory is read as it stands.
func (c *corpus) kustomizations() map[string]string {
	if !c.overlaid {
		return nil
	}
	var base strings.Builder
	base.WriteString("resources:\n")
	for i := range c.versions {
		fmt.Fprintf(&base, "- %s.yaml\n", c.name(i))
	}
	return map[string]string{
		"base/kustomization.yaml": base.String(),
		"deploy/kustomization.yaml": "resources: [../base]\nnamespace: " + c.namespace + "\nnamePrefix: " + prefix + "\nlabels: [{pairs: {team: bench}}]\n" +
			"images: [{name: registry.example.com/team/" + c.name(0) + ", newTag: 1.2.4}]\n",
	}
}

// body is the object as an apply sends it.
func (c *corpus) body(i int) ([]byte, error) { return json.Marshal(c.object(i)) }

// change gives objects a version that they never had, and returns what is to be seen of them, by key.
func (c *corpus) change(numbers []int) map[string]string {
	want := map[string]string{}
	for _, i := range numbers {
		c.versions[i]++
		want[c.key(i)] = strconv.Itoa(c.versions[i])
	}
	return want
}

// all are the numbers of all objects.
func (c *corpus) all() []int {
	numbers := make([]int, len(c.versions))
	for i := range numbers {
		numbers[i] = i
	}
	return numbers
}
