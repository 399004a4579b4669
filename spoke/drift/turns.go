package drift

import (
	"sync"

	"flotilla.dev/flotilla/pkg/fleet"
)

// turns is how many of an App's objects are corrected at once. It is half of what all Apps' may be: where a webhook hangs,
// say, the others' go on.
const turns = Workers / 2

// Turns bounds how many of one App's objects are corrected at once. The zero value is ready.
type Turns struct {
	mu      sync.Mutex
	taken   int
	waiting map[fleet.ObjectRef]bool
}

// Take reports whether an object of the App may be corrected now; End ends that. If not, the finding is to be postponed: it is
// asked again when another one is done.
func (t *Turns) Take(ref fleet.ObjectRef) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.taken == turns {
		if t.waiting == nil {
			t.waiting = map[fleet.ObjectRef]bool{}
		}
		t.waiting[ref] = true
		return false
	}
	t.taken++
	delete(t.waiting, ref)
	return true
}

// End has the next object asked again that still waits, and all of them when no other turn is left to do that.
func (t *Turns) End(tracker *Tracker) {
	t.mu.Lock()
	t.taken--
	var next []fleet.ObjectRef
	for ref := range t.waiting {
		delete(t.waiting, ref)
		if !tracker.Moved(ref) {
			continue
		}
		next = append(next, ref)
		if t.taken > 0 {
			break
		}
	}
	t.mu.Unlock()
	tracker.Kick(next...)
}
