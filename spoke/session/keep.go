package session

import (
	"encoding/json"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Records keep what may be lost: the last accepted state as a record, and a log of what changed since.
type Records interface {
	Load(name string, into any) bool
	// Save replaces a record; false: it may be lost with this process.
	Save(name string, value any) bool
	// Append adds an entry to a log, or begins it anew; false: it is not known to be kept. Entries are as JSON, the oldest first.
	Append(name string, entry any, anew bool) bool
	Entries(name string) [][]byte
}

const (
	stateRecord = "state"
	changesLog  = "changes"
	// minChanges is what the log may take at least before the state is written whole again, in bytes.
	minChanges = 64 << 10
	// envelope is about what a change takes beside its Assignments.
	envelope = 512
)

// keeper keeps the state on disk: whole now and then, and else what has changed since, as a state may be long. One
// goroutine uses it at a time.
type keeper struct {
	records Records
	// left is what the log may still take: nothing, before this process has written the state whole.
	left int
	// logged says that the log is of what came since.
	logged bool
}

// keep keeps the state that came of the change.
func (k *keeper) keep(state State, by change) {
	size := by.size()
	if !by.Base.IsZero() && size <= k.left && k.records.Append(changesLog, by, !k.logged) {
		k.logged = true
		k.left -= size
		return
	}
	k.logged, k.left = false, 0
	if k.records.Save(stateRecord, state) { // else nothing can follow on it: the next change writes it again
		k.left = max(change{State: state}.size(), minChanges)
	}
}

// load returns the state that was kept last; false: there is none. What the log has from before the state was written whole
// does not follow on it.
func (k *keeper) load() (State, bool) {
	var state State
	if !k.records.Load(stateRecord, &state) {
		return State{}, false
	}
	for _, entry := range k.records.Entries(changesLog) {
		var next change
		if err := json.Unmarshal(entry, &next); err == nil && !next.Base.IsZero() && next.Base == state.ID {
			state = state.after(next)
		}
	}
	return state, true
}

// change is how a state came of the one before.
type change struct {
	// Base is that one; zero: it is the first, or was sent whole.
	Base fleet.StateID `json:"base,omitzero"`
	// State is the one that came of it, but that it has only the Items that are new or others.
	State
	// Gone are the keys that it has no more.
	Gone []string `json:"gone,omitempty"`
}

// size is about what it takes, in bytes.
func (c change) size() int {
	n := envelope
	for key, assignment := range c.Items {
		n += len(key) + len(assignment)
	}
	for key, kept := range c.Kept {
		n += len(key) + len(kept.Assignment)
	}
	for _, key := range c.Gone {
		n += len(key)
	}
	return n
}
