package buildtest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"pgregory.net/rapid"
)

// drawer draws the parts of one tree.
type drawer struct {
	t      *rapid.T
	random *rand.Rand
	files  map[string]string
	plan   plan
	// serial numbers what must not be there twice.
	serial int
	// known are the objects of every directory, for names to be told apart.
	known []*object
	// shared is set within a base that the tree has twice.
	shared bool
}

var coin = rapid.Bool()

// newDrawer draws no more of rapid than where to begin: its numbers prefer small ones, which is no help to shares, and a
// tree takes thousands. What fails is made smaller by Reduce.
func newDrawer(t *rapid.T) *drawer {
	seed := uint64(0)
	for range 64 {
		seed <<= 1
		if coin.Draw(t, "") {
			seed |= 1
		}
	}
	return &drawer{t: t, random: rand.New(rand.NewPCG(seed, 0)), files: map[string]string{}}
}

// upTo is a number from 0 to below n, each as likely.
func (d *drawer) upTo(n int) int { return d.random.IntN(n) }

// chance is true in so many of a hundred cases.
func (d *drawer) chance(percent int) bool { return d.upTo(100) < percent }

func (d *drawer) pick(values ...string) string { return values[d.upTo(len(values))] }

// some is up to so many of the values, in their order.
func (d *drawer) some(most int, values ...string) []string {
	var out []string
	for range d.upTo(most + 1) {
		if value := d.pick(values...); !slices.Contains(out, value) {
			out = append(out, value)
		}
	}
	return out
}

// fresh is a name that nothing in the tree has yet.
func (d *drawer) fresh(stem string) string {
	d.serial++
	return fmt.Sprintf("%s-%d", stem, d.serial)
}

// write adds a file.
func (d *drawer) write(name, content string) { d.files[name] = content }

type fields = map[string]any

// put sets the value at the path in the object, making what is not there. Segments are separated by slashes, which a
// backslash escapes. A segment with [] is a list: of containers the first has it, any other list gets a new element.
func (d *drawer) put(at fields, path string, value any) {
	segment, rest := cutSegment(path)
	name, isList := strings.CutSuffix(segment, "[]")
	switch {
	case rest == "" && isList:
		list, _ := at[name].([]any)
		at[name] = append(list, value)
	case rest == "":
		at[name] = value
	case isList:
		d.put(d.element(at, name), rest, value)
	default:
		child, isMap := at[name].(fields)
		if !isMap {
			child = fields{}
			at[name] = child
		}
		d.put(child, rest, value)
	}
}

func (d *drawer) element(at fields, name string) fields {
	list, _ := at[name].([]any)
	if len(list) > 0 && (strings.HasSuffix(strings.ToLower(name), "containers") || name == "rules" || name == "sources" || d.chance(20)) {
		if first, isMap := list[0].(fields); isMap {
			return first
		}
	}
	element := fields{}
	switch {
	case strings.HasSuffix(strings.ToLower(name), "containers"):
		element["name"], element["image"] = fmt.Sprintf("c%d", len(list)), d.image()
	case name == "env":
		element["name"] = fmt.Sprintf("REF_%d", len(list))
	case name == "volumes", name == "webhooks":
		element["name"] = fmt.Sprintf("v%d.example.com", len(list))
	case name == "volumeClaimTemplates":
		element["metadata"] = fields{"name": fmt.Sprintf("claim%d", len(list))}
	}
	at[name] = append(list, element)
	return element
}

func cutSegment(path string) (segment, rest string) {
	for i := 0; i < len(path); i++ {
		switch {
		case path[i] == '\\' && i+1 < len(path):
			i++
		case path[i] == '/':
			return strings.ReplaceAll(path[:i], `\/`, "/"), path[i+1:]
		}
	}
	return strings.ReplaceAll(path, `\/`, "/"), ""
}
