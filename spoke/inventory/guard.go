package inventory

import (
	"fmt"
	"regexp"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Change is what a pass would do to an App's objects.
type Change struct {
	// Going are the objects to be deleted, of which nobody was asked yet.
	Going []Entry
	// Created are the objects that are new.
	Created []fleet.ObjectRef
	// Desired is how many objects the App consists of from now on, Total how many it had: fresh ones, and those let go
	// before, do not count.
	Desired int
	Total   int
}

// Guard says why a change's deletions, all of them, have to wait for an approval; empty: they may go. A deletion
// paired with a creation of the same kind, namespace and name, but for kustomize's hash suffix, is no loss, nor is that of
// a fresh object: half of a commit is undone. Switched off, it still holds what is protected: that is said of the object
// itself.
func Guard(c Change, guard fleet.PruneGuard) string {
	for _, entry := range c.Going {
		if entry.Protected {
			return fmt.Sprintf("%s is protected", entry.Ref)
		}
	}
	if len(c.Going) == 0 || guard.Off {
		return ""
	}
	if c.Desired == 0 {
		return fmt.Sprintf("no object would be left of %d", max(c.Total, len(c.Going)))
	}
	for _, entry := range c.Going {
		if Precious(entry.Ref) {
			return fmt.Sprintf("%s would go, and with it what it holds", entry.Ref)
		}
	}
	if lost := losses(c.Going, c.Created); !guard.Allows(lost, c.Total) {
		return fmt.Sprintf("%d of %d objects would go", lost, c.Total)
	}
	return ""
}

// Precious reports whether more than the object itself is lost with it.
func Precious(ref fleet.ObjectRef) bool {
	switch ref.Group {
	case "":
		return ref.Kind == "Namespace" || ref.Kind == "PersistentVolume" || ref.Kind == "PersistentVolumeClaim"
	case "apiextensions.k8s.io":
		return ref.Kind == "CustomResourceDefinition"
	}
	return false
}

// losses counts the deletions that nothing takes the place of.
func losses(going []Entry, created []fleet.ObjectRef) int {
	successors := map[fleet.ObjectRef]int{}
	for _, ref := range created {
		successors[stem(ref)]++
	}
	lost := 0
	for _, entry := range going {
		if entry.Fresh {
			continue
		}
		if successors[stem(entry.Ref)] > 0 {
			successors[stem(entry.Ref)]--
			continue
		}
		lost++
	}
	return lost
}

// hashSuffix is what kustomize appends to names of generated objects (kustomize api/hasher: ten of these characters).
var hashSuffix = regexp.MustCompile(`-[2456789bcdfghkmt]{10}$`)

func stem(ref fleet.ObjectRef) fleet.ObjectRef {
	ref = ref.ID()
	ref.Name = hashSuffix.ReplaceAllString(ref.Name, "")
	return ref
}
