package deploy

import (
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/drift"
)

// turns is how many of an App's objects are corrected at once. It is half of what all Apps' may be: where a webhook
// hangs, say, the others' go on.
const turns = drift.Workers / 2

// turn reports whether an object of the App may be corrected now. If not, it is asked again when another one is done.
func (a *app) turn(ref fleet.ObjectRef) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.correcting == turns {
		a.waiting[ref] = true
		return false
	}
	a.correcting++
	delete(a.waiting, ref)
	return true
}

// endTurn has the next object asked again that still waits, and all of them when no other turn is left to do that.
func (e *Engine) endTurn(a *app) {
	a.mu.Lock()
	a.correcting--
	var next []fleet.ObjectRef
	for ref := range a.waiting {
		delete(a.waiting, ref)
		if !e.tracker.Moved(ref) {
			continue
		}
		next = append(next, ref)
		if a.correcting > 0 {
			break
		}
	}
	a.mu.Unlock()
	e.tracker.Kick(next...)
}
