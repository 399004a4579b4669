package deploy_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/deploy"
)

// putBack are the objects that these writes made, or made good.
func putBack(sent []string, names ...string) (made []string) {
	for _, name := range names {
		if slices.Contains(sent, "PATCH "+name) {
			made = append(made, name)
		}
	}
	return made
}

// TestAKillWhileDeletingPutsNothingBack kills a pass at each of its writes. The engine that follows begins with what the
// spoke knows: the release before, whose objects it corrects.
func TestAKillWhileDeletingPutsNothingBack(t *testing.T) {
	going := []string{"goes1", "goes2", "goes3"}
	for _, test := range []struct {
		name     string
		stays    []string
		approved bool
	}{
		{name: "what the guard lets go", stays: []string{"stays"}},
		{name: "what was approved", approved: true},
	} {
		for _, lost := range []bool{false, true} {
			for n := 1; n <= 8; n++ {
				t.Run(fmt.Sprintf("%s, write %d, answer lost: %t", test.name, n, lost), func(t *testing.T) {
					b := newBundle(t)
					b.start()
					first := b.deploy(b.configMapsNamed(slices.Concat(test.stays, going)...)...)
					b.judged()
					second := b.target(b.configMapsNamed(test.stays...)...)
					if test.approved {
						if err := b.try(second); err != nil {
							t.Fatal(err)
						}
						second.ApprovedPrune = b.status().HeldPrune.Digest
					}

					b.cutAfter(n, lost)
					b.start()
					b.load(first)
					if err := b.try(second); n == 8 && err != nil {
						t.Fatalf("the pass has more writes than are cut: %v", err)
					}
					b.kill()
					present := b.owned(configMaps)

					b.wrap = nil
					sent := b.tap()
					b.start()
					b.load(first)
					b.canary() // which the first list came before
					for _, name := range putBack(sent.all(), going...) {
						if !present["ConfigMap/"+name] {
							t.Errorf("%s was deleted and is put back", name)
						}
					}
					if err := b.try(second); err != nil {
						t.Fatal(err)
					}
					if held := b.status().HeldPrune; held != nil {
						t.Errorf("held is %+v", held)
					}
					if owned := b.owned(configMaps); len(owned) != len(test.stays) {
						t.Errorf("there are %v", owned)
					}
					if left := b.entries(); strings.Contains(left, "goes") {
						t.Errorf("the inventory is %s", left)
					}
				})
			}
		}
	}
}

// refuseDeletion refuses the deletion of an object until told otherwise.
func (b *bundle) refuseDeletion(name string) *atomic.Bool {
	refused := &atomic.Bool{}
	refused.Store(true)
	b.intercept(func(r *http.Request) int {
		if r.Method == http.MethodDelete && strings.HasSuffix(r.URL.Path, "/"+name) && refused.Load() {
			return http.StatusForbidden
		}
		return 0
	})
	return refused
}

func TestAnApprovalHoldsUntilAllOfItsSetIsGone(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprintf("restart: %t", restart), func(t *testing.T) {
			b := newBundle(t)
			refused := b.refuseDeletion("goes")
			b.start()
			first := b.deploy(b.configMapsNamed("goes", "too")...)
			empty := b.target()
			if err := b.try(empty); err != nil {
				t.Fatal(err)
			}
			approved := empty
			approved.ApprovedPrune = b.status().HeldPrune.Digest
			if err := b.try(approved); !errors.Is(err, deploy.ErrPrune) {
				t.Fatalf("error %v", err)
			}
			if restart {
				b.start()
				b.load(first)
			}
			refused.Store(false)
			if err := b.try(empty); err != nil || b.status().HeldPrune != nil || len(b.owned(configMaps)) != 0 {
				t.Errorf("error %v, held %+v, there are %v", err, b.status().HeldPrune, b.owned(configMaps))
			}
		})
	}
}

func TestARevertOfAHalfPrunedCommitBringsBackWhatIsGoneAndAsksAgain(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprintf("restart: %t", restart), func(t *testing.T) {
			b := newBundle(t)
			refused := b.refuseDeletion("goes")
			b.start()
			first := b.deploy(b.configMapsNamed("goes", "too")...)
			before := b.get(configMaps, "goes").GetUID()
			empty := b.target()
			if err := b.try(empty); err != nil {
				t.Fatal(err)
			}
			held := b.status().HeldPrune.Digest
			empty.ApprovedPrune = held
			if err := b.try(empty); !errors.Is(err, deploy.ErrPrune) {
				t.Fatalf("error %v", err)
			}
			b.patch(configMaps, "goes", "someone", `{"data":{"key":"2"}}`) // nobody puts it back for now
			if restart {
				b.start()
			}
			if err := b.try(first); err != nil {
				t.Fatal(err)
			}
			b.value(configMaps, "too", "1", "data", "key")
			b.value(configMaps, "goes", "1", "data", "key")
			if now := b.get(configMaps, "goes").GetUID(); now != before {
				t.Error("what was still there was made anew")
			}
			if n := b.status().DriftCorrections; n != 0 {
				t.Errorf("%d drift corrections", n)
			}
			refused.Store(false)
			empty.ApprovedPrune = fleet.Digest{}
			if err := b.try(empty); err != nil {
				t.Fatal(err)
			}
			if again := b.status().HeldPrune; again == nil || again.Digest != held || len(b.owned(configMaps)) != 2 {
				t.Errorf("held is %+v, there are %v", again, b.owned(configMaps))
			}
		})
	}
}

// A stricter guard does not take back what went by the one before, nor does it let more go.
func TestAGuardChangedHalfWayConcernsWhatIsNotDecided(t *testing.T) {
	b := newBundle(t)
	refused := b.refuseDeletion("goes1")
	b.start()
	b.deploy(b.configMapsNamed("goes1", "goes2", "later1", "later2", "stays")...)
	if err := b.try(b.target(b.configMapsNamed("later1", "later2", "stays")...)); !errors.Is(err, deploy.ErrPrune) {
		t.Fatalf("error %v", err)
	}
	refused.Store(false)
	b.release.PruneGuard = "1"
	b.deploy(b.configMapsNamed("stays")...)
	held := b.status().HeldPrune
	if held == nil || held.Count != 2 || !strings.Contains(fmt.Sprint(b.engine.Held(b.app)), "later1") {
		t.Errorf("held is %+v of %v", held, b.engine.Held(b.app))
	}
	if owned := b.owned(configMaps); len(owned) != 3 || owned["ConfigMap/goes1"] {
		t.Errorf("there are %v", owned)
	}
}

func TestHeldObjectsAreMadeGoodWhenTheyAreWantedAgain(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprintf("restart: %t", restart), func(t *testing.T) {
			b := newBundle(t).start()
			first := b.deploy(b.configMapsNamed("edited", "deleted", "same")...)
			b.deploy()
			if b.status().HeldPrune == nil {
				t.Fatal("nothing is held")
			}
			b.patch(configMaps, "edited", "someone", `{"data":{"key":"2"}}`)
			b.delete(configMaps, "deleted")
			b.canary()
			b.value(configMaps, "edited", "2", "data", "key") // held is not touched
			if restart {
				b.start()
			}
			if err := b.try(first); err != nil {
				t.Fatal(err)
			}
			b.value(configMaps, "edited", "1", "data", "key")
			b.eventually("it is back", func() error {
				if b.get(configMaps, "deleted") == nil {
					return errors.New("it is not")
				}
				return nil
			})
		})
	}
}

func TestAHeldPruneIsKnownAfterARestartBeforeAnyPass(t *testing.T) {
	b := newBundle(t).start()
	b.deploy(b.configMapsNamed("a", "b", "kept")...)
	b.deploy(b.configMapsNamed("a", "b")...)
	b.deploy(b.configMap("a", "1"), b.configMap("b", "1"), b.configMap("kept", "1", annotations("kustomize.toolkit.fluxcd.io/prune", "disabled")))
	empty := b.deploy()
	held := b.status().HeldPrune
	if held == nil || held.Count != 2 {
		t.Fatalf("held is %+v", held)
	}
	for _, suspended := range []bool{false, true} {
		b.start()
		b.engine.SetSuspended(b.app, suspended)
		b.load(empty)
		if again := b.status().HeldPrune; again == nil || *again != *held || len(b.engine.Held(b.app)) != 2 {
			t.Errorf("suspended: %t: held is %+v, not %+v", suspended, again, held)
		}
	}
	if n := len(b.eventsOf(fleet.ReasonPruneHeld)); n != 1 {
		t.Errorf("%d events", n)
	}
	b.release.Prune = false
	b.load(b.target())
	if again := b.status().HeldPrune; again != nil {
		t.Errorf("nothing is pruned, and held is %+v", again)
	}
}

// The hub ends an approval at the word that nothing is held.
func TestAPruneIsHeldUntilWhatIsLetGoIsSaved(t *testing.T) {
	for _, removal := range []bool{false, true} {
		t.Run(fmt.Sprintf("removal: %t", removal), func(t *testing.T) {
			b := newBundle(t)
			refused := &atomic.Bool{}
			b.intercept(func(r *http.Request) int {
				if r.Method != http.MethodGet && strings.Contains(r.URL.Path, "/namespaces/"+b.system+"/configmaps") && refused.Load() {
					return http.StatusForbidden
				}
				return 0
			})
			b.start()
			target := b.deploy(b.configMapsNamed("a", "b")...)
			if !removal {
				target = b.target()
			}
			attempt := func() error {
				if removal {
					_, err := b.tryRemove(fleet.Tombstone{Delete: true}, target.ApprovedPrune)
					return err
				}
				return b.try(target)
			}
			if err := attempt(); err != nil || b.status().HeldPrune == nil {
				t.Fatalf("error %v, held %+v", err, b.status().HeldPrune)
			}
			held := *b.status().HeldPrune
			target.ApprovedPrune = held.Digest
			refused.Store(true)
			err := attempt()
			if now := b.status().HeldPrune; err == nil || now == nil || *now != held || len(b.owned(configMaps)) != 2 {
				t.Errorf("error %v, held %+v, there are %v", err, now, b.owned(configMaps))
			}
			refused.Store(false)
			if err := attempt(); err != nil || b.status().HeldPrune != nil || len(b.owned(configMaps)) != 0 {
				t.Errorf("error %v, held %+v, there are %v", err, b.status().HeldPrune, b.owned(configMaps))
			}
		})
	}
}

func TestAHalfPrunedAppIsNotCalledAppliedBeforeAPassHasLooked(t *testing.T) {
	b := newBundle(t)
	b.refuseDeletion("goes")
	b.start()
	b.deploy(b.configMapsNamed("goes", "later1", "later2", "stays")...)
	if err := b.try(b.target(b.configMapsNamed("later1", "later2", "stays")...)); !errors.Is(err, deploy.ErrPrune) {
		t.Fatalf("error %v", err)
	}
	b.release.PruneGuard = "1"
	target := b.target(b.configMapsNamed("stays")...)
	for _, restart := range []bool{false, true} {
		if restart {
			b.start()
			b.load(target)
			if s := b.status(); !s.Applied.IsZero() || s.HeldPrune == nil || s.HeldPrune.Count != 2 {
				t.Errorf("applied is %s, held %+v", s.Applied, s.HeldPrune)
			}
		}
		if err := b.try(target); !errors.Is(err, deploy.ErrPrune) {
			t.Fatalf("error %v", err)
		}
		if s := b.status(); s.Applied != target.Release.Digest() || s.HeldPrune == nil {
			t.Errorf("applied is %s, held %+v", s.Applied, s.HeldPrune)
		}
	}
}

func TestARemovalGoesOnWhereAKillCutItOff(t *testing.T) {
	tomb := fleet.Tombstone{Delete: true, Wait: true}
	for _, lost := range []bool{false, true} {
		for n := 1; n <= 6; n++ {
			t.Run(fmt.Sprintf("write %d, answer lost: %t", n, lost), func(t *testing.T) {
				b := newBundle(t).start()
				first := b.deploy(b.configMapsNamed("a", "b", "stuck")...)
				b.patch(configMaps, "stuck", "someone", `{"metadata":{"finalizers":["test.flotilla.dev/stuck"]}}`)
				b.judged()
				if b.remove(tomb, fleet.Digest{}) {
					t.Fatal("it is done without an approval")
				}
				approved := b.status().HeldPrune.Digest
				b.cutAfter(n, lost)
				b.start()
				b.load(first)
				_, err := b.tryRemove(tomb, approved)
				if n == 6 && err != nil {
					t.Fatalf("it has more writes than are cut: %v", err)
				}
				b.kill()
				present := b.owned(configMaps)

				b.wrap = nil
				sent := b.tap()
				b.start()
				b.load(first)
				if object := b.get(configMaps, "stuck"); object.GetDeletionTimestamp() != nil {
					b.patch(configMaps, "stuck", "someone", `{"metadata":{"finalizers":null}}`)
					delete(present, "ConfigMap/stuck")
				}
				b.canary()
				for _, name := range putBack(sent.all(), "a", "b", "stuck") {
					if !present["ConfigMap/"+name] {
						t.Errorf("%s was deleted and is put back", name)
					}
				}
				b.eventually("it is done", func() error {
					done, err := b.tryRemove(tomb, approved)
					if object := b.get(configMaps, "stuck"); object != nil && object.GetDeletionTimestamp() != nil && object.GetFinalizers() != nil {
						b.patch(configMaps, "stuck", "someone", `{"metadata":{"finalizers":null}}`)
					}
					if err != nil || !done {
						return fmt.Errorf("done: %t, error %v, held %+v", done, err, b.status().HeldPrune)
					}
					return nil
				})
				if owned := b.owned(configMaps); len(owned) != 0 || len(b.inventory()) != 0 {
					t.Errorf("there are %v, inventory %s", owned, b.entries())
				}
			})
		}
	}
}

func TestATombstoneTakenBackBringsEverythingBack(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprintf("restart: %t", restart), func(t *testing.T) {
			b := newBundle(t).start()
			first := b.deploy(b.configMapsNamed("gone", "stuck")...)
			b.patch(configMaps, "stuck", "someone", `{"metadata":{"finalizers":["test.flotilla.dev/stuck"]}}`)
			b.judged()
			if b.remove(fleet.Tombstone{Delete: true, Wait: true, Confirmed: true}, fleet.Digest{}) {
				t.Fatal("it is done")
			}
			b.canary() // the deletions are seen
			if restart {
				b.start()
				b.load(first)
			}
			if err := b.try(first); err != nil {
				t.Fatal(err)
			}
			b.value(configMaps, "gone", "1", "data", "key")
			before := b.get(configMaps, "stuck").GetUID()
			b.patch(configMaps, "stuck", "someone", `{"metadata":{"finalizers":null}}`)
			b.eventually("the object is made anew once its finalizer lets go", func() error {
				if object := b.get(configMaps, "stuck"); object == nil || object.GetUID() == before {
					return fmt.Errorf("it is %v", object)
				}
				return nil
			})
			b.value(configMaps, "stuck", "1", "data", "key")
		})
	}
}
