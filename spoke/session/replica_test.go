package session

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/identity"
	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
)

// author is the hub's side of one cluster's desired state: the states it has signed, and the messages that carry them.
type author struct {
	key     identity.StateKey
	cluster uuid.UUID
	signed  map[fleet.StateID]fleet.Desired
	latest  fleet.StateID
}

func newAuthor(t testing.TB) *author {
	t.Helper()
	root, err := identity.CreateKey(filepath.Join(t.TempDir(), "hub.key"))
	if err != nil {
		t.Fatal(err)
	}
	return &author{key: root.StateKey(), cluster: uuid.New(), signed: map[fleet.StateID]fleet.Desired{}}
}

func (a *author) replica() *replica {
	return &replica{cluster: a.cluster, keys: []identity.StatePublicKey{a.key.StatePublicKey}}
}

// set makes the next state.
func (a *author) set(items fleet.Desired) fleet.StateID {
	return a.setIn(max(a.latest.Epoch, 1), items)
}

func (a *author) setIn(epoch uint64, items fleet.Desired) fleet.StateID {
	id := fleet.StateID{Epoch: epoch, Version: a.latest.Version + 1, Digest: fleet.DesiredDigest(items.Digests())}
	a.signed[id], a.latest = items, id
	return id
}

// message carries a state: in full when base is zero, else what changed since base.
func (a *author) message(base, result fleet.StateID, parts int) []*spokev1.Desired {
	before, after := a.signed[base], a.signed[result]
	messages := make([]*spokev1.Desired, parts)
	for i := range messages {
		messages[i] = &spokev1.Desired{Base: stateToWire(base), Result: stateToWire(result), Part: uint32(i), Parts: uint32(parts)}
	}
	n := 0
	for _, key := range slices.Sorted(maps.Keys(after)) {
		if string(before[key]) != string(after[key]) {
			m := messages[n%parts]
			m.Items = append(m.Items, &spokev1.Item{Key: key, Assignment: after[key]})
			n++
		}
	}
	for key := range before {
		if _, stays := after[key]; !stays {
			messages[0].Gone = append(messages[0].Gone, key)
		}
	}
	at := time.Unix(1700000000, 42)
	messages[parts-1].Signature = &spokev1.Signature{
		KeyId: a.key.ID, SignedAt: timestamppb.New(at), Value: identity.SignState(a.key, protocol, a.cluster, result, at),
	}
	return messages
}

func appKey(n int) fleet.Key {
	return fleet.Key{Home: fleet.HubHome, Kind: "Kustomization", Namespace: "apps", Name: fmt.Sprintf("app%d", n)}
}

// assignment is an encoded Assignment; a negative generation makes a tombstone.
func assignment(n, generation int) []byte {
	a := fleet.Assignment{App: appKey(n), State: fleet.Active, Generation: uint64(max(generation, -generation)), Release: fleet.Release{App: appKey(n)}}
	if generation < 0 {
		a.State, a.Tombstone = fleet.Removed, &fleet.Tombstone{Delete: true}
	}
	return a.Encode()
}

func desired(generations ...int) fleet.Desired {
	items := fleet.Desired{}
	for n, generation := range generations {
		if generation != 0 {
			items[appKey(n).String()] = assignment(n, generation)
		}
	}
	return items
}

// give hands messages to the replica until one is refused.
func give(r *replica, safe bool, messages ...*spokev1.Desired) (changed bool, err error) {
	for _, message := range messages {
		more, err := r.receive(message, protocol, safe)
		if err != nil {
			return changed, err
		}
		changed = changed || more
	}
	return changed, nil
}

func TestStateIsFollowedByFullSetsAndDeltas(t *testing.T) {
	t.Parallel()
	a := newAuthor(t)
	r := a.replica()
	first := a.set(desired(1, 1, 1))
	second := a.set(desired(1, 2, 0, 1))
	for _, step := range [][]*spokev1.Desired{a.message(fleet.StateID{}, first, 3), a.message(first, second, 2)} {
		if changed, err := give(r, false, step...); err != nil || !changed {
			t.Fatalf("changed: %t, %v", changed, err)
		}
	}
	if r.held.ID != second || !maps.EqualFunc(r.held.Items, a.signed[second], func(a, b []byte) bool { return string(a) == string(b) }) {
		t.Errorf("held is %s with %d items", r.held.ID, len(r.held.Items))
	}
	if changed, err := give(r, false, a.message(first, second, 2)...); err != nil || changed {
		t.Errorf("a repetition: changed %t, %v", changed, err)
	}
}

func TestStateThatDoesNotFollowOrWasNotSignedIsRefused(t *testing.T) {
	t.Parallel()
	a, stranger := newAuthor(t), newAuthor(t)
	first := a.set(desired(1))
	second := a.set(desired(2))
	third := a.set(desired(3))
	stranger.cluster = a.cluster
	forged := stranger.message(fleet.StateID{}, stranger.setIn(9, desired(9)), 1)
	other := newAuthor(t)
	other.key = a.key // the right key, for another cluster
	foreign := other.message(fleet.StateID{}, other.setIn(9, desired(9)), 1)
	swapped := a.message(first, second, 1)
	swapped[0].Items[0].Assignment = assignment(0, 7)
	unsigned := a.message(first, second, 1)
	unsigned[0].Signature = nil
	for name, c := range map[string]struct {
		messages []*spokev1.Desired
		want     error
	}{
		"a delta of another base":     {a.message(second, third, 1), errGap},
		"the second part alone":       {a.message(first, second, 2)[1:], errGap},
		"a part twice":                {append(a.message(first, second, 3)[:1], a.message(first, second, 3)[0]), errGap},
		"parts of two messages":       {append(a.message(first, second, 2)[:1], a.message(first, third, 2)[1]), errGap},
		"another Assignment":          {swapped, errDigest},
		"no signature":                {unsigned, fleet.ErrDenied},
		"another hub's signature":     {forged, fleet.ErrDenied},
		"another cluster's signature": {foreign, fleet.ErrDenied},
		"no state":                    {[]*spokev1.Desired{{}}, fleet.ErrInvalid},
		"too many parts":              {[]*spokev1.Desired{{Result: stateToWire(second), Parts: maxParts + 1}}, errTooLarge},
	} {
		r := a.replica()
		if _, err := give(r, false, a.message(fleet.StateID{}, first, 1)...); err != nil {
			t.Fatal(err)
		}
		if _, err := give(r, false, c.messages...); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if r.held.ID != first {
			t.Errorf("%s: held is %s, want still %s", name, r.held.ID, first)
		}
	}
}

func TestStateNeverGoesBack(t *testing.T) {
	t.Parallel()
	a := newAuthor(t)
	first := a.set(desired(1))
	second := a.set(desired(2))
	r := a.replica()
	if _, err := give(r, false, a.message(fleet.StateID{}, second, 1)...); err != nil {
		t.Fatal(err)
	}
	if _, err := give(r, false, a.message(fleet.StateID{}, first, 1)...); !errors.Is(err, errLower) {
		t.Errorf("an older state: %v, want %v", err, errLower)
	}
	// The volume was lost; the Secret still has the mark.
	r = a.replica()
	r.mark = fleet.StateID{Epoch: second.Epoch, Version: second.Version}
	if _, err := give(r, false, a.message(fleet.StateID{}, first, 1)...); !errors.Is(err, errLower) {
		t.Errorf("an older state after the loss of the volume: %v, want %v", err, errLower)
	}
	if changed, err := give(r, false, a.message(fleet.StateID{}, second, 1)...); err != nil || !changed {
		t.Errorf("the same state after the loss of the volume: changed %t, %v", changed, err)
	}
	// A fork: another state of the same number.
	fork := &author{key: a.key, cluster: a.cluster, signed: map[fleet.StateID]fleet.Desired{}, latest: first}
	forked := fork.set(desired(9))
	if _, err := give(r, false, fork.message(fleet.StateID{}, forked, 1)...); !errors.Is(err, errLower) {
		t.Errorf("another state of the same number: %v, want %v", err, errLower)
	}
	// A lower version of a higher epoch is newer.
	fork.latest = fleet.StateID{}
	if changed, err := give(r, false, fork.message(fleet.StateID{}, fork.setIn(2, desired(9)), 1)...); err != nil || !changed {
		t.Errorf("a higher epoch: changed %t, %v", changed, err)
	}
}

func TestHubThatIsBehindMayNotSendTombstonesBeforeItRecovered(t *testing.T) {
	t.Parallel()
	a := newAuthor(t)
	r := a.replica()
	first := a.set(desired(1, -1))
	if _, err := give(r, true, a.message(fleet.StateID{}, first, 1)...); !errors.Is(err, errTombstone) {
		t.Errorf("a tombstone in the first state: %v, want %v", err, errTombstone)
	}
	if _, err := give(r, false, a.message(fleet.StateID{}, first, 1)...); err != nil {
		t.Fatal(err)
	}
	known := a.set(desired(2, -1))
	if _, err := give(r, true, a.message(first, known, 1)...); err != nil {
		t.Errorf("a tombstone that is known: %v", err)
	}
	second := a.set(desired(-3, -1))
	if _, err := give(r, true, a.message(known, second, 1)...); !errors.Is(err, errTombstone) {
		t.Errorf("a new tombstone: %v, want %v", err, errTombstone)
	}
	third := a.setIn(2, desired(-3, -1))
	if _, err := give(r, true, a.message(known, third, 1)...); err != nil {
		t.Errorf("a new tombstone of a higher epoch: %v", err)
	}
}

func TestAbsenceNeverDeletesAndATombstoneDoes(t *testing.T) {
	t.Parallel()
	a := newAuthor(t)
	r := a.replica()
	base := fleet.StateID{}
	for _, step := range []struct {
		items fleet.Desired
		kept  []int
	}{
		{desired(1, 1, 1), nil},
		{desired(0, 0, 2), []int{0, 1}},
		{desired(0, 0, -3), []int{0, 1}},
		{desired(0, 5, 0), []int{0}}, // 1 is back, 2 left by its tombstone
	} {
		next := a.set(step.items)
		if _, err := give(r, false, a.message(base, next, 1)...); err != nil {
			t.Fatal(err)
		}
		base = next
		var kept []int
		for n := range 3 {
			if k, found := r.held.Kept[appKey(n).String()]; found {
				kept = append(kept, n)
				if k.Epoch != 1 || string(k.Assignment) != string(assignment(n, 1)) {
					t.Errorf("%s: kept is not what it was: %s", next, k.Assignment)
				}
			}
		}
		if !slices.Equal(kept, step.kept) {
			t.Errorf("%s: kept are %v, want %v", next, kept, step.kept)
		}
	}
	restarted := a.replica()
	restarted.mark = r.mark
	if err := restarted.restore(r.held); err != nil || len(restarted.held.Kept) != 1 {
		t.Errorf("after a restart %d are kept (%v)", len(restarted.held.Kept), err)
	}
}

func TestStateOnDiskIsTakenUpOnlyIfItWouldBeAcceptedToday(t *testing.T) {
	t.Parallel()
	a := newAuthor(t)
	r := a.replica()
	first := a.set(desired(1))
	if _, err := give(r, false, a.message(fleet.StateID{}, first, 1)...); err != nil {
		t.Fatal(err)
	}
	saved := r.held
	for name, c := range map[string]struct {
		spoil func(*State, *replica)
		want  error
	}{
		"as it was":           {func(*State, *replica) {}, nil},
		"changed":             {func(s *State, _ *replica) { s.Items = desired(2) }, errDigest},
		"older than the mark": {func(_ *State, r *replica) { r.mark.Version = 2 }, errLower},
		"a retired key":       {func(_ *State, r *replica) { r.keys = nil }, fleet.ErrDenied},
		"another cluster's":   {func(_ *State, r *replica) { r.cluster = uuid.New() }, fleet.ErrDenied},
	} {
		s, fresh := saved, a.replica()
		fresh.mark = r.mark
		c.spoil(&s, fresh)
		if err := fresh.restore(s); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// Any loss, duplication and reordering of messages ends in the hub's last state or in a reconnect, and at no time in a
// state that the hub did not sign or in one lower than before.
func TestLossDuplicationAndReorderingCannotMatter(t *testing.T) {
	t.Parallel()
	one := newAuthor(t)
	rapid.Check(t, func(rt *rapid.T) {
		a := &author{key: one.key, cluster: one.cluster, signed: map[fleet.StateID]fleet.Desired{}}
		r := a.replica()
		var highest fleet.StateID
		deliver := func(messages []*spokev1.Desired) error {
			for _, message := range messages {
				_, err := r.receive(message, protocol, false)
				if !r.held.ID.IsZero() {
					items, signed := a.signed[r.held.ID]
					if !signed || !maps.EqualFunc(items, r.held.Items, func(a, b []byte) bool { return string(a) == string(b) }) {
						rt.Fatalf("held is %s, which the hub did not sign", r.held.ID)
					}
				}
				if r.held.ID.Compare(highest) < 0 {
					rt.Fatalf("held fell from %s to %s", highest, r.held.ID)
				}
				highest = r.held.ID
				if err != nil {
					return err
				}
			}
			return nil
		}
		for range rapid.IntRange(1, 4).Draw(rt, "rounds") {
			// What the hub sends in this session: the full set, or deltas from what the spoke said it holds.
			var sent []*spokev1.Desired
			base := fleet.StateID{}
			if rapid.Bool().Draw(rt, "delta") {
				base = r.held.ID
			}
			for range rapid.IntRange(1, 4).Draw(rt, "states") {
				generations := rapid.SliceOfN(rapid.IntRange(-2, 4), 0, 5).Draw(rt, "set")
				epoch := max(a.latest.Epoch, 1)
				if rapid.IntRange(0, 9).Draw(rt, "recover") == 0 {
					epoch++
				}
				next := a.setIn(epoch, desired(generations...))
				sent = append(sent, a.message(base, next, rapid.IntRange(1, 3).Draw(rt, "parts"))...)
				base = next
			}
			sent = disturb(rt, sent)
			r.pending = nil // a new stream
			if err := deliver(sent); err == nil && r.pending == nil && len(sent) > 0 && r.held.ID != a.latest && complete(sent, a.latest) {
				rt.Fatalf("no reconnect, and held is %s instead of %s", r.held.ID, a.latest)
			}
		}
		// The reconnect: a hello without a digest, the full set.
		r.pending = nil
		if a.latest.Compare(r.held.ID) > 0 {
			if err := deliver(a.message(fleet.StateID{}, a.latest, 2)); err != nil {
				rt.Fatalf("the full set is refused: %v", err)
			}
		}
		if r.held.ID != a.latest {
			rt.Fatalf("held is %s, want %s", r.held.ID, a.latest)
		}
	})
}

// disturb loses, repeats and moves messages.
func disturb(rt *rapid.T, messages []*spokev1.Desired) []*spokev1.Desired {
	random := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
	result := slices.Clone(messages)
	for range rapid.IntRange(0, 3).Draw(rt, "faults") {
		if len(result) == 0 {
			break
		}
		i, j := random.IntN(len(result)), random.IntN(len(result))
		switch random.IntN(3) {
		case 0:
			result = slices.Delete(result, i, i+1)
		case 1:
			result = slices.Insert(result, i, result[j])
		case 2:
			result[i], result[j] = result[j], result[i]
		}
	}
	return result
}

// complete reports whether the last message of the last state got through.
func complete(messages []*spokev1.Desired, latest fleet.StateID) bool {
	last := messages[len(messages)-1]
	return last.GetResult().GetVersion() == latest.Version && last.GetPart()+1 == last.GetParts()
}
