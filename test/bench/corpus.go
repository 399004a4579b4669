package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// corpus is the ConfigMaps of a namespace as they are to be, numbered from 0. Two of the same size that were changed
// alike hold the same data.
type corpus struct {
	namespace string
	versions  []int
	fillers   []string
}

// fillerWords make an object about 600 bytes long, as YAML.
const fillerWords = 30

func newCorpus(namespace string, size int) *corpus {
	c := &corpus{namespace: namespace, versions: make([]int, size), fillers: make([]string, size)}
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

func (c *corpus) name(i int) string { return fmt.Sprintf("c%04d", i) }

func (c *corpus) data(i int) map[string]string {
	return map[string]string{"value": strconv.Itoa(c.versions[i]), "filler": c.fillers[i]}
}

// file is the object as Git has it.
func (c *corpus) file(i int) string {
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: %s\n  namespace: %s\ndata:\n  value: %q\n  filler: %s\n",
		c.name(i), c.namespace, strconv.Itoa(c.versions[i]), c.fillers[i])
}

// change gives objects a value that they never had, and returns the data that they are to have now, by name.
func (c *corpus) change(numbers []int) map[string]map[string]string {
	for _, i := range numbers {
		c.versions[i]++
	}
	return c.wanted(numbers)
}

// wanted is the data that objects are to have, by name.
func (c *corpus) wanted(numbers []int) map[string]map[string]string {
	want := map[string]map[string]string{}
	for _, i := range numbers {
		want[c.name(i)] = c.data(i)
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
