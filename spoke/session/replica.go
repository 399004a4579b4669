package session

import (
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/google/uuid"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/identity"
	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
)

const (
	// maxParts and maxState bound what a message may make the spoke hold before its signature is seen.
	maxParts = 1 << 10
	maxState = 64 << 20
)

// Reasons why a message is dropped. After any of them the spoke connects anew and asks for the full set.
var (
	errGap       = errors.New("desired state: it does not follow on what is held")
	errLower     = errors.New("desired state: it is older than what was accepted before")
	errDigest    = errors.New("desired state: its digest is not that of its Assignments")
	errTooLarge  = errors.New("desired state: it is too large")
	errTombstone = errors.New("desired state: a new tombstone while the hub is behind this cluster")
)

// State is an accepted desired state as it is kept on disk, with what is needed to verify it again.
type State struct {
	ID fleet.StateID `json:"id"`
	// Protocol, KeyID, SignedAt and Signature are the hub's signature over ID.
	Protocol  uint32    `json:"protocol"`
	KeyID     string    `json:"keyID"`
	SignedAt  time.Time `json:"signedAt"`
	Signature []byte    `json:"signature"`
	// Items are the encoded Assignments by key.
	Items fleet.Desired `json:"items"`
	// Kept are Assignments that left the state without a tombstone: they are not signed for any more, but absence
	// never deletes.
	Kept map[string]Kept `json:"kept,omitempty"`
}

// Kept is an Assignment that the desired state does not name any more, with the epoch it was last in.
type Kept struct {
	Epoch      uint64 `json:"epoch"`
	Assignment []byte `json:"assignment"`
}

// replica is the spoke's copy of its cluster's desired state. It does no I/O: whatever messages it is given, it holds
// only states that the hub signed, and never goes back.
type replica struct {
	cluster uuid.UUID
	keys    []identity.StatePublicKey
	// mark is the highest (epoch, version) ever accepted; held may be absent or older after the volume was lost.
	mark fleet.StateID
	held State
	// digests are those of what is held: each is made once.
	digests map[string]fleet.Digest
	// latest is the change that brought it about; after a restart there was none.
	latest change
	// pending are the parts of a message that has not come to its end.
	pending *pending
}

type pending struct {
	base, result fleet.StateID
	next, parts  uint32
	items        fleet.Desired
	gone         []string
	size         int
}

// receive takes the next message and reports whether another state is held now. safe says that the hub is behind this
// cluster. After an error the session must end.
func (r *replica) receive(message *spokev1.Desired, protocol uint32, safe bool) (changed bool, err error) {
	complete, err := r.collect(message)
	if err != nil || !complete {
		return false, err
	}
	p := r.pending
	r.pending = nil
	if p.result == r.held.ID {
		return false, nil // a repetition
	}
	if !p.base.IsZero() && p.base != r.held.ID {
		return false, fmt.Errorf("%w: it changes %s, held is %s", errGap, p.base, r.held.ID)
	}
	by := change{Base: p.base, Gone: p.gone, State: State{
		ID:        p.result,
		Protocol:  protocol,
		KeyID:     message.GetSignature().GetKeyId(),
		SignedAt:  message.GetSignature().GetSignedAt().AsTime(),
		Signature: message.GetSignature().GetValue(),
		Items:     p.items,
	}}
	next, digests := r.held.after(by), by.digests(r.digests)
	if err := r.verify(next, digests); err != nil {
		return false, err
	}
	if safe {
		if err := r.checkTombstones(next); err != nil {
			return false, err
		}
	}
	r.held, r.digests, r.latest, r.mark = next, digests, by, fleet.StateID{Epoch: next.ID.Epoch, Version: next.ID.Version}
	return true, nil
}

// restore takes back a state that an earlier process kept, if it would be accepted today.
func (r *replica) restore(saved State) error {
	digests := saved.Items.Digests()
	if err := r.verify(saved, digests); err != nil {
		return err
	}
	r.held, r.digests, r.mark = saved, digests, fleet.StateID{Epoch: saved.ID.Epoch, Version: saved.ID.Version}
	return nil
}

// verify checks that next, whose Assignments have these digests, is what the hub signed for this cluster, whole, and newer
// than all accepted before.
func (r *replica) verify(next State, digests map[string]fleet.Digest) error {
	if order := next.ID.Compare(r.mark); order < 0 || order == 0 && !r.held.ID.IsZero() {
		return fmt.Errorf("%w: %s after %s", errLower, next.ID, r.mark)
	}
	if fleet.DesiredDigest(digests) != next.ID.Digest {
		return fmt.Errorf("%w (%s)", errDigest, next.ID)
	}
	return identity.VerifyState(r.keys, next.KeyID, next.Protocol, r.cluster, next.ID, next.SignedAt, next.Signature)
}

// collect adds a part to the message under way and reports whether it was the last one.
func (r *replica) collect(message *spokev1.Desired) (complete bool, err error) {
	result, err := stateFromWire(message.GetResult())
	if err != nil {
		return false, err
	}
	var base fleet.StateID
	if message.GetBase() != nil {
		if base, err = stateFromWire(message.GetBase()); err != nil {
			return false, err
		}
	}
	parts := max(message.GetParts(), 1)
	if message.GetPart() == 0 && r.pending == nil {
		r.pending = &pending{base: base, result: result, parts: parts, items: fleet.Desired{}}
	}
	p := r.pending
	switch {
	case parts > maxParts:
		return false, errTooLarge
	case p == nil || p.next != message.GetPart() || p.parts != parts || p.base != base || p.result != result:
		r.pending = nil
		return false, fmt.Errorf("%w: part %d of %d for %s is out of place", errGap, message.GetPart(), parts, result)
	}
	for _, item := range message.GetItems() {
		p.items[item.GetKey()] = item.GetAssignment()
		p.size += len(item.GetKey()) + len(item.GetAssignment())
	}
	p.gone = append(p.gone, message.GetGone()...)
	if p.size > maxState {
		r.pending = nil
		return false, errTooLarge
	}
	p.next++
	return p.next == p.parts, nil
}

// checkTombstones refuses, within one epoch, tombstones that the held state does not have: a hub that is behind
// promised to send none.
func (r *replica) checkTombstones(next State) error {
	if r.mark.Epoch > 0 && next.ID.Epoch > r.mark.Epoch {
		return nil // `hub recover` leads out of safe mode by raising the epoch
	}
	for key, assignment := range next.Items {
		if isTombstone(assignment) && !isTombstone(r.held.Items[key]) {
			return fmt.Errorf("%w: %s", errTombstone, key)
		}
	}
	return nil
}

// after is the state that a change makes of s.
func (s State) after(by change) State {
	next := by.State
	next.Items = fleet.Desired{}
	if !by.Base.IsZero() {
		maps.Copy(next.Items, s.Items)
	}
	for _, key := range by.Gone {
		delete(next.Items, key)
	}
	maps.Copy(next.Items, by.Items)
	next.Kept = kept(s, next)
	return next
}

// digests are those of the Assignments after the change, of those that there were before it.
func (c change) digests(before map[string]fleet.Digest) map[string]fleet.Digest {
	after := map[string]fleet.Digest{}
	if !c.Base.IsZero() {
		maps.Copy(after, before)
	}
	for _, key := range c.Gone {
		delete(after, key)
	}
	maps.Copy(after, c.Items.Digests())
	return after
}

// kept are the Assignments that are in neither: those kept before and those that left now, unless they left by a
// tombstone.
func kept(held, next State) map[string]Kept {
	result := maps.Clone(held.Kept)
	if result == nil {
		result = map[string]Kept{}
	}
	for key := range result {
		if _, named := next.Items[key]; named {
			delete(result, key)
		}
	}
	for key, assignment := range held.Items {
		if _, stays := next.Items[key]; !stays && !isTombstone(assignment) {
			result[key] = Kept{Epoch: held.ID.Epoch, Assignment: assignment}
		}
	}
	return result
}

func isTombstone(assignment []byte) bool {
	a, err := fleet.DecodeAssignment(assignment)
	return err == nil && a.State == fleet.Removed
}
