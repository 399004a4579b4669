package deploy

import "flotilla.dev/flotilla/pkg/fleet"

// Accounts is how many ServiceAccounts the engine acts for.
func (e *Engine) Accounts() int {
	return e.accounts.Len()
}

// Judged returns the resourceVersion up to which an object is known to be as applied, or not to be touched, and whether
// there is a finding about it that is not dealt with.
func (e *Engine) Judged(ref fleet.ObjectRef) (clean uint64, moved bool) {
	return e.tracker.Known(ref).Clean, e.tracker.Moved(ref)
}

// Referred is how many ConfigMaps and Secrets are watched because Apps refer to them.
func (e *Engine) Referred() int { return e.references.Watched() }
