package worker

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
)

var (
	t0   = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	here = fleet.Key{Home: fleet.HubHome, Kind: "Kustomization", Namespace: "apps", Name: "app"}
)

// assigned is an Assignment of release n, changed by edit.
func assigned(n byte, edit func(*Assigned)) Assigned {
	a := Assigned{Epoch: 1, Assignment: fleet.Assignment{
		App: here, State: fleet.Active, Generation: uint64(n),
		Release:  fleet.Release{App: here, Manifest: fleet.Digest{n}},
		Controls: fleet.Controls{Interval: 10 * time.Minute, RetryInterval: 2 * time.Minute, Timeout: time.Minute},
	}}
	if edit != nil {
		edit(&a)
	}
	return a
}

func removed(n byte) Assigned {
	return assigned(n, func(a *Assigned) { a.State, a.Tombstone = fleet.Removed, &fleet.Tombstone{Delete: true} })
}

// ended is the outcome of a step for an Assignment, ten seconds ago.
func ended(s step, want Assigned, failure *Failure, failures int) *outcome {
	return &outcome{
		step: s, generation: want.generation(), run: want.RunDigest(), approved: want.ApprovedPrune, controls: want.OfSpec(),
		ended: t0.Add(-10 * time.Second), failure: failure, failures: failures,
	}
}

func TestNextStepFollowsFromTheAssignmentAndWhatWasDone(t *testing.T) {
	t.Parallel()
	a := assigned(1, nil)
	requested := assigned(1, func(a *Assigned) { a.RequestedAt = "now" })
	approved := assigned(1, func(a *Assigned) { a.ApprovedPrune = fleet.Digest{9} })
	suspended := assigned(1, func(a *Assigned) { a.Suspend = true })
	rare := assigned(1, func(a *Assigned) { a.Interval = 3 * time.Hour })
	plain := assigned(1, func(a *Assigned) { a.RetryInterval = 0 })
	broken := &Failure{Err: errors.New("broken")}
	transient := &Failure{Err: errors.New("429"), Transient: true}
	terminal := &Failure{Err: errors.New("invalid"), Terminal: true}
	flux := &Failure{Err: errors.New("flux"), Reason: fleet.ReasonManagedByFlux}
	jittered := ended(pass, a, nil, 0)
	jittered.spread = -0.1
	began := func(o *outcome, ago time.Duration) *outcome {
		o.began = t0.Add(-ago)
		return o
	}
	bound := assigned(1, func(a *Assigned) { a.Binding.Variables = map[string]string{"A": "1"} })
	in := func(d time.Duration) time.Time { return t0.Add(d - 10*time.Second) } // after the outcome
	never := decision{}
	newEpoch := removed(2)
	newEpoch.Epoch = 2
	for name, c := range map[string]struct {
		want Assigned
		progress
		next decision
	}{
		"new":                          {a, progress{}, decision{step: pass, at: t0}},
		"new with a request":           {requested, progress{}, decision{step: pass, verify: true, at: t0}},
		"restart after the request":    {requested, progress{handled: "now"}, decision{step: pass, at: t0}},
		"nothing assigned":             {Assigned{}, progress{}, never},
		"done":                         {a, progress{last: ended(pass, a, nil, 0)}, decision{step: pass, verify: true, at: in(time.Hour)}},
		"done, jittered":               {a, progress{last: jittered}, decision{step: pass, verify: true, at: in(54 * time.Minute)}},
		"done, long interval":          {rare, progress{last: ended(pass, rare, nil, 0)}, decision{step: pass, verify: true, at: in(3 * time.Hour)}},
		"another release":              {assigned(2, nil), progress{last: ended(pass, a, nil, 0)}, decision{step: pass, at: t0}},
		"only another generation":      {assigned(1, func(a *Assigned) { a.Generation = 9 }), progress{last: ended(pass, a, nil, 0)}, decision{step: pass, verify: true, at: in(time.Hour)}},
		"another release after error":  {assigned(2, nil), progress{last: ended(pass, a, terminal, 3)}, decision{step: pass, at: t0}},
		"a request":                    {requested, progress{last: ended(pass, a, nil, 0)}, decision{step: pass, verify: true, at: t0}},
		"another release and request":  {assigned(2, func(a *Assigned) { a.RequestedAt = "now" }), progress{last: ended(pass, a, nil, 0)}, decision{step: pass, at: t0}},
		"a request that was handled":   {requested, progress{last: ended(pass, a, nil, 0), handled: "now"}, decision{step: pass, verify: true, at: in(time.Hour)}},
		"a prune approved":             {approved, progress{last: ended(pass, a, nil, 0)}, decision{step: pass, at: t0}},
		"an approval lapsed":           {a, progress{last: ended(pass, approved, nil, 0)}, decision{step: pass, verify: true, at: in(time.Hour)}},
		"failed":                       {a, progress{last: ended(pass, a, broken, 1)}, decision{step: pass, at: in(2 * time.Minute)}},
		"failed, by itself gone":       {a, progress{last: ended(pass, a, transient, 1)}, decision{step: pass, at: in(time.Second)}},
		"failed again":                 {a, progress{last: ended(pass, a, transient, 4)}, decision{step: pass, at: in(8 * time.Second)}},
		"failed over and over":         {a, progress{last: ended(pass, a, transient, 40)}, decision{step: pass, at: in(30 * time.Second)}},
		"failed for good":              {a, progress{last: ended(pass, a, terminal, 1)}, decision{step: pass, at: in(2 * time.Minute)}},
		"failed, no retry interval":    {plain, progress{last: ended(pass, plain, terminal, 1)}, decision{step: pass, at: in(10 * time.Minute)}},
		"failed, another timeout":      {assigned(1, func(a *Assigned) { a.Helm.Upgrade = time.Hour }), progress{last: ended(pass, a, terminal, 1)}, decision{step: pass, at: t0}},
		"done, another timeout":        {assigned(1, func(a *Assigned) { a.Helm.Upgrade = time.Hour }), progress{last: ended(pass, a, nil, 0)}, decision{step: pass, verify: true, at: in(time.Hour)}},
		"Flux has it":                  {a, progress{last: ended(pass, a, flux, 1)}, decision{step: pass, at: in(2 * time.Minute)}},
		"Flux has taken it":            {a, progress{last: ended(pass, a, nil, 0), flux: true}, decision{step: pass, at: t0}},
		"Flux may have let go":         {a, progress{last: ended(pass, a, flux, 1), nudged: true}, decision{step: pass, at: in(time.Second)}},
		"suspended":                    {suspended, progress{}, never},
		"suspended with a request":     {assigned(1, func(a *Assigned) { a.Suspend, a.RequestedAt = true, "now" }), progress{last: ended(pass, a, broken, 1)}, never},
		"resumed":                      {a, progress{last: ended(pass, a, nil, 0), unverified: true}, decision{step: pass, verify: true, at: t0}},
		"a tombstone":                  {removed(2), progress{last: ended(pass, a, nil, 0)}, decision{step: remove, at: t0}},
		"a tombstone while suspended":  {func() Assigned { a := removed(2); a.Suspend = true; return a }(), progress{}, decision{step: remove, at: t0}},
		"a tombstone not done":         {removed(2), progress{last: ended(remove, removed(2), nil, 0)}, decision{step: remove, at: in(15 * time.Second)}},
		"a tombstone, objects went":    {removed(2), progress{last: ended(remove, removed(2), nil, 0), nudged: true}, decision{step: remove, at: in(time.Second)}},
		"a tombstone that failed":      {removed(2), progress{last: ended(remove, removed(2), broken, 1)}, decision{step: remove, at: in(15 * time.Second)}},
		"a tombstone confirmed":        {removed(3), progress{last: ended(remove, removed(2), nil, 0)}, decision{step: remove, at: t0}},
		"a tombstone that is done":     {removed(2), progress{last: ended(remove, removed(2), nil, 0), removed: removed(2).generation()}, never},
		"a tombstone of a new epoch":   {newEpoch, progress{last: ended(remove, removed(2), nil, 0), removed: removed(2).generation()}, decision{step: remove, at: t0}},
		"another binding":              {bound, progress{last: ended(pass, a, nil, 0)}, decision{step: pass, at: t0}},
		"a variable changed":           {a, progress{last: began(ended(pass, a, nil, 0), time.Minute), woken: true}, decision{step: pass, at: t0.Add(-59 * time.Second)}},
		"a variable changed again":     {a, progress{last: began(ended(pass, a, nil, 0), 0), woken: true}, decision{step: pass, at: t0.Add(time.Second)}},
		"a variable came, after error": {a, progress{last: began(ended(pass, a, terminal, 9), time.Minute), woken: true}, decision{step: pass, at: t0.Add(-59 * time.Second)}},
		"a variable, suspended":        {suspended, progress{last: ended(pass, a, nil, 0), woken: true}, never},
		"a blob is lost":               {a, progress{last: ended(pass, a, nil, 0), incomplete: true}, decision{step: pass, at: t0}},
		"a blob is lost, no hub":       {a, progress{last: ended(pass, a, transient, 1), incomplete: true}, decision{step: pass, at: in(time.Second)}},
		"assigned again after removal": {assigned(3, nil), progress{last: ended(remove, removed(2), nil, 0), removed: removed(2).generation()}, decision{step: pass, at: t0}},
	} {
		if got := decide(t0, c.want, c.progress); got != c.next {
			t.Errorf("%s: %s verify=%t in %s, want %s verify=%t in %s", name,
				got.step, got.verify, got.at.Sub(t0), c.next.step, c.next.verify, c.next.at.Sub(t0))
		}
	}
}

func TestPassIsCutOffOnlyByWhatMakesItPointless(t *testing.T) {
	t.Parallel()
	a := assigned(1, nil)
	newEpoch := removed(2)
	newEpoch.Epoch = 2
	for name, c := range map[string]struct {
		running, want Assigned
		overtaken     bool
	}{
		"nothing":           {a, a, false},
		"another interval":  {a, assigned(1, func(a *Assigned) { a.Generation, a.Interval = 2, time.Hour }), false},
		"a request":         {a, assigned(1, func(a *Assigned) { a.Generation, a.RequestedAt = 2, "now" }), false},
		"another release":   {a, assigned(2, nil), true},
		"another binding":   {a, assigned(1, func(a *Assigned) { a.Binding.Variables = map[string]string{"A": "1"} }), true},
		"a suspension":      {a, assigned(1, func(a *Assigned) { a.Suspend = true }), true},
		"a tombstone":       {a, removed(2), true},
		"another tombstone": {removed(2), removed(3), true},
		"another epoch":     {removed(2), newEpoch, true},
		"a return":          {removed(2), assigned(2, nil), true},
	} {
		if got := overtakes(c.running, c.want); got != c.overtaken {
			t.Errorf("%s: overtaken %t", name, got)
		}
	}
}

func TestThePassOfAHelmReleaseMayTakeWhatHelmMayWait(t *testing.T) {
	t.Parallel()
	of := func(kind string) Assigned {
		a := Assigned{Assignment: fleet.Assignment{App: fleet.Key{Home: fleet.HubHome, Kind: kind, Namespace: "apps", Name: "a"}}}
		a.Timeout = time.Minute
		a.Helm = fleet.HelmControls{Install: time.Hour, Upgrade: 2 * time.Hour, Uninstall: 3 * time.Hour}
		return a
	}
	if got := of("Kustomization").passTime(); got != minPassTime {
		t.Errorf("of a Kustomization: %s, want %s", got, minPassTime)
	}
	// Uninstall what had another name, upgrade, test, and uninstall because that failed.
	if got, want := of("HelmRelease").passTime(), minPassTime+helmWait+3*time.Hour+2*time.Hour+time.Minute+3*time.Hour; got != want {
		t.Errorf("of a HelmRelease: %s, want %s", got, want)
	}
}

func TestWhatHelmHasBegunIsNotCutShortBySuspension(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]bool{"Kustomization": true, "HelmRelease": false} {
		running := Assigned{Assignment: fleet.Assignment{App: fleet.Key{Home: fleet.HubHome, Kind: kind, Namespace: "apps", Name: "a"}, Generation: 1}}
		suspended := running
		suspended.Suspend = true
		if got := overtakes(running, suspended); got != want {
			t.Errorf("%s: overtaken is %t, want %t", kind, got, want)
		}
	}
}

func TestAFailureSaysWhenItIsTriedAgain(t *testing.T) {
	t.Parallel()
	failure := failureOf(fmt.Errorf("deploy: %w", &Failure{Err: errors.New("no"), Transient: true, RetryAfter: 7 * time.Minute}), "")
	if got := retryPause(Assigned{}, &outcome{failure: failure, failures: 3}); got != 7*time.Minute {
		t.Errorf("tried again after %s, want 7m", got)
	}
}
