package fleet

import (
	"encoding/json"
	"fmt"
)

// Bound leaves out what makes the Diff longer than so many bytes of JSON: diffs that have no room in half of them, and
// then all objects from the first that has none, which it counts.
func (d *Diff) Bound(most int) {
	objects := d.Objects
	d.Objects, d.Left = []ObjectDiff{}, len(objects)
	room := most - encoded(d)
	texts := room / 2
	for _, object := range objects {
		size := encoded(object) + len(",")
		if object.Diff != "" {
			if size <= min(texts, room) {
				texts -= size
			} else {
				object.Diff, object.Cut = "", true
				size = encoded(object) + len(",")
			}
		}
		if room -= size; room < 0 {
			return
		}
		d.Objects = append(d.Objects, object)
		d.Left--
	}
}

// Bound leaves out the objects from the first that makes the Tree longer than so many bytes of JSON, and counts them.
func (t *Tree) Bound(most int) {
	objects := t.Objects
	t.Objects = []TreeObject{}
	room := most - encoded(Tree{Left: t.Left + countTree(objects)})
	t.Objects = boundTree(objects, &room, &t.Left)
}

// Bound leaves out what makes the status longer than so many bytes of JSON: the tests of older versions first, then those
// versions from the oldest on, and the tests of the newest last. It changes the History that it has.
func (s *HelmStatus) Bound(most int) {
	for n := len(s.History) - 1; n > 0 && encoded(s) > most; n-- {
		s.History[n].TestHooks = nil
	}
	for len(s.History) > 1 && encoded(s) > most {
		s.History = s.History[:len(s.History)-1]
	}
	if len(s.History) > 0 && encoded(s) > most {
		s.History[0].TestHooks = nil
	}
}

func boundTree(objects []TreeObject, room, left *int) []TreeObject {
	for i := range objects {
		owned := objects[i].Owned
		objects[i].Owned = nil
		if *room -= encoded(objects[i]) + len(`,"owned":[],`); *room < 0 {
			objects[i].Owned = owned
			*left += countTree(objects[i:])
			return objects[:i]
		}
		objects[i].Owned = boundTree(owned, room, left)
	}
	return objects
}

func countTree(objects []TreeObject) int {
	n := len(objects)
	for _, object := range objects {
		n += countTree(object.Owned)
	}
	return n
}

// encoded is how long a part of an answer is as JSON.
func encoded(part any) int {
	data, err := json.Marshal(part)
	if err != nil {
		panic(fmt.Sprintf("encode an answer: %v", err)) // text and numbers always encode
	}
	return len(data)
}
