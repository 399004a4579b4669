package deploy

import (
	"testing"

	"pgregory.net/rapid"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
	"flotilla.dev/flotilla/spoke/inventory"
)

func TestPlan(t *testing.T) {
	t.Parallel()
	one, two := fleet.DigestOf([]byte("1")), fleet.DigestOf([]byte("2"))
	owned := func(applied fleet.Digest, change func(*sight)) sight {
		s := sight{Owned: true, Entry: inventory.Entry{UID: "u", Applied: applied}}
		if change != nil {
			change(&s)
		}
		return s
	}
	left, lost, moved := func(s *sight) { s.Left = true }, func(s *sight) { s.Lost = true }, func(s *sight) { s.Moved = true }
	for _, test := range []struct {
		name  string
		entry manifest.Entry
		sight sight
		all   bool
		want  op
	}{
		{name: "new", want: write},
		{name: "intended, then a crash", sight: sight{}, want: write},
		{name: "as applied", sight: owned(one, nil), want: keep},
		{name: "as applied, in a full pass", sight: owned(one, nil), all: true, want: verify},
		{name: "moved", sight: owned(one, moved), want: verify},
		{name: "other content", sight: owned(two, nil), want: write},
		{name: "content not known", sight: owned(fleet.Digest{}, nil), want: write},
		{name: "another App's", sight: owned(one, lost), all: true, want: keep},
		{name: "another App's, and changed here", sight: owned(two, lost), want: write},
		{name: "not to be touched", sight: owned(one, left), all: true, want: keep},
		{name: "not to be touched, and changed", sight: owned(two, left), want: write},
		{name: "Ignore", entry: manifest.Entry{Mode: manifest.Mode{SSA: manifest.SSAIgnore}}, sight: owned(two, nil), all: true, want: leave},
		{name: "reconcile: disabled", entry: manifest.Entry{Mode: manifest.Mode{ReconcileDisabled: true}}, want: leave},
		{name: "IfNotPresent, new", entry: manifest.Entry{Mode: manifest.Mode{SSA: manifest.SSAIfNotPresent}}, want: write},
		{name: "IfNotPresent, there", entry: manifest.Entry{Mode: manifest.Mode{SSA: manifest.SSAIfNotPresent}}, sight: owned(one, nil), want: keep},
		{name: "IfNotPresent, changed", entry: manifest.Entry{Mode: manifest.Mode{SSA: manifest.SSAIfNotPresent}}, sight: owned(two, nil), want: restamp},
		{name: "IfNotPresent, in a full pass", entry: manifest.Entry{Mode: manifest.Mode{SSA: manifest.SSAIfNotPresent}}, sight: owned(one, nil), all: true, want: write},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := plan(wish{Entry: test.entry, Stamp: one}, test.sight, test.all); got != test.want {
				t.Errorf("op %d, not %d", got, test.want)
			}
		})
	}
}

// An unchanged object costs nothing unless it moved or a full pass is asked for; an object whose content is not the
// wanted one is never kept as it is, unless somebody said so.
func TestPlanProperties(t *testing.T) {
	t.Parallel()
	digests := []fleet.Digest{{}, fleet.DigestOf([]byte("1")), fleet.DigestOf([]byte("2"))}
	rapid.Check(t, func(t *rapid.T) {
		w := wish{Stamp: digests[1], Entry: manifest.Entry{Mode: manifest.Mode{SSA: manifest.SSA(rapid.IntRange(0, 3).Draw(t, "ssa"))}}}
		s := sight{
			Owned: rapid.Bool().Draw(t, "owned"), Lost: rapid.Bool().Draw(t, "lost"),
			Moved: rapid.Bool().Draw(t, "moved"), Left: rapid.Bool().Draw(t, "left"),
			Entry: inventory.Entry{Applied: rapid.SampledFrom(digests).Draw(t, "applied")},
		}
		all := rapid.Bool().Draw(t, "all")
		got := plan(w, s, all)
		same := s.Owned && s.Applied == w.Stamp
		if got == keep && !same {
			t.Fatalf("%+v is kept with other content", s)
		}
		if same && !s.Moved && !all && got != keep && got != leave {
			t.Fatalf("%+v costs a request", s)
		}
		if got == write && same && w.SSA != manifest.SSAIfNotPresent {
			t.Fatalf("%+v is written again", s)
		}
	})
}
