package store_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/hub/store"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

func TestRolloutsAndTheirClustersAreReadPageByPage(t *testing.T) {
	t.Parallel()
	f := newRolledOut(t, canaryFirst, "canary-1", "prod-1", "prod-2", "prod-3", "prod-4")
	var all []string
	for n := range 5 {
		f.push(fmt.Sprint(n))
		all = append([]string{f.settle(rollout.Succeeded).ID}, all...)
	}
	query := store.RolloutQuery{App: appKey, Phases: []rollout.Phase{rollout.Succeeded, rollout.Halted}, Limit: 2}
	var got []string
	for {
		page, err := f.Rollouts(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		for i := range page {
			got = append(got, page[i].ID)
			query.After = page[i].Mark()
		}
		if len(page) < 2 {
			break
		}
	}
	if !slices.Equal(got, all) {
		t.Errorf("pages of 2 give %v, not %v", got, all)
	}
	if none, err := f.Rollouts(t.Context(), store.RolloutQuery{Phases: []rollout.Phase{rollout.Halted}}); err != nil || len(none) != 0 {
		t.Errorf("halted are %v, error %v", none, err)
	}
	members := store.RolloutMemberQuery{Phases: []rollout.MemberPhase{rollout.MemberSucceeded}, Wave: "rest", Limit: 3}
	got = nil
	for {
		page, err := f.RolloutMembers(t.Context(), all[0], members)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range page {
			if !m.Connected || !m.Available || m.Stale {
				t.Errorf("member %+v", m)
			}
			got = append(got, m.Name)
			members.After = m.Mark()
		}
		if len(page) < 3 {
			break
		}
	}
	if !slices.Equal(got, []string{"prod-1", "prod-2", "prod-3", "prod-4"}) {
		t.Errorf("pages of 3 give %v", got)
	}
	events, err := f.RolloutEvents(t.Context(), all[0], 2, 3)
	if err != nil || len(events) != 3 || events[0].Number != 3 || events[2].Number != 5 {
		t.Errorf("events %+v, error %v", events, err)
	}
}

func TestWhatIsAskedOfRolloutsAndIsNotThereIsSaid(t *testing.T) {
	t.Parallel()
	f := newRolledOut(t, canaryFirst, "canary-1")
	ctx := t.Context()
	_, none := f.Rollout(ctx, appKey, "")
	f.push("one")
	r := f.settle(rollout.Succeeded)
	_, unknown := f.Rollout(ctx, fleet.Key{}, "ro-x")
	_, elsewhere := f.Rollout(ctx, fleet.Key{Home: fleet.HubHome, Kind: "Kustomization", Namespace: "apps", Name: "other"}, r.ID)
	_, wave := f.RolloutMembers(ctx, r.ID, store.RolloutMemberQuery{Wave: "x"})
	_, page := f.Rollouts(ctx, store.RolloutQuery{After: "x"})
	_, members := f.RolloutMembers(ctx, r.ID, store.RolloutMemberQuery{After: "1"})
	for _, test := range []struct {
		err  error
		kind error
		says string
	}{
		{none, fleet.ErrNotFound, "none has begun yet"},
		{unknown, fleet.ErrNotFound, "rollout ro-x"},
		{elsewhere, fleet.ErrNotFound, "it is one of Kustomization/apps/app"},
		{wave, fleet.ErrNotFound, "its waves are [canary rest]"},
		{page, fleet.ErrInvalid, "list from the beginning"},
		{members, fleet.ErrInvalid, "list from the beginning"},
	} {
		if !errors.Is(test.err, test.kind) || !strings.Contains(test.err.Error(), test.says) {
			t.Errorf("error %v; want %v, with %q", test.err, test.kind, test.says)
		}
	}
}

func TestReleaseIsFoundByDigestItsBeginningAndRevision(t *testing.T) {
	t.Parallel()
	f := newRolledOut(t, canaryFirst, "canary-1")
	first, second := f.push("one").Digest(), f.push("two").Digest()
	short := first.String()[:len("sha256:")+10]
	for target, want := range map[string]fleet.Digest{
		"": {}, first.String(): first, short: first, "main@sha1:two": second,
	} {
		if got, err := f.ResolveRelease(t.Context(), appKey, target); err != nil || got != want {
			t.Errorf("%q is %s, error %v", target, got, err)
		}
	}
	for target, want := range map[string]error{
		"main@sha1:x": fleet.ErrNotFound, "sha256:": fleet.ErrInvalid, "sha256:xyz": fleet.ErrInvalid, "sha256:%": fleet.ErrInvalid,
		fleet.DigestOf([]byte("x")).String(): fleet.ErrNotFound, first.String() + "0": fleet.ErrInvalid,
	} {
		if _, err := f.ResolveRelease(t.Context(), appKey, target); !errors.Is(err, want) {
			t.Errorf("%q: error %v, not %v", target, err, want)
		}
	}
	other := appKey
	other.Name = "other"
	if _, err := f.ResolveRelease(t.Context(), other, first.String()); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("another App's Release is found: error %v", err)
	}
}

func TestReleaseIsFoundByRevisionsAsTheyAreShown(t *testing.T) {
	t.Parallel()
	f := newRolledOut(t, canaryFirst, "canary-1")
	const one, two, chart = "696f056df216eea4f9401adbee0ff744d4df390f", "696f056ee216eea4f9401adbee0ff744d4df390f", "6.5.0@sha256:9f3c1a2b5a3f8c0d696f056df216eea4f9401adbee0ff744d4df390f01234567"
	first, second := f.release("main@sha1:"+one, "one").Digest(), f.release("main@sha1:"+two, "two").Digest()
	f.release("v1.0@sha1:"+one, "one")
	third := f.release(chart, "three").Digest()
	for target, want := range map[string]fleet.Digest{
		"main@sha1:696f056d": first, "v1.0@sha1:696f056": first, "sha1:696f056d": first, "696f056d": first, one: first, "main@sha1:696f056e": second,
		"6.5.0@sha256:9f3c1a2b": third, "sha256:9f3c1a2b": third, third.String()[len("sha256:"):][:8]: third,
	} {
		if got, err := f.ResolveRelease(t.Context(), appKey, target); err != nil || got != want {
			t.Errorf("%q is %s, error %v", target, got, err)
		}
	}
	for target, want := range map[string]error{
		"main@sha1:696f056": fleet.ErrInvalid, "696f056": fleet.ErrInvalid, "main@sha1:696f05": fleet.ErrNotFound, "other@sha1:696f056d": fleet.ErrNotFound,
		"main@sha1:%": fleet.ErrNotFound, "main@sha1:_______": fleet.ErrNotFound, "eeee056d": fleet.ErrNotFound, "6.5.0": fleet.ErrNotFound,
	} {
		if got, err := f.ResolveRelease(t.Context(), appKey, target); !errors.Is(err, want) {
			t.Errorf("%q is %s, error %v, not %v", target, got, err, want)
		}
	}
	_, err := f.ResolveRelease(t.Context(), appKey, "main@sha1:696f056")
	if want := "main@sha1:696f056 is several Releases of Kustomization/apps/app: [main@sha1:" + one + " main@sha1:" + two + "]: write more digits"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v; want %s", err, want)
	}
}

func TestPlanIsWhatBeginsAndStoresNothing(t *testing.T) {
	t.Parallel()
	f := newRolledOut(t, strings.Replace(canaryFirst, `{"waves"`, `{"autoStart":false,"waves"`, 1), "canary-1", "prod-1")
	f.push("one")
	f.step()
	plan, err := f.PlanRollout(t.Context(), appKey, "main@sha1:one", nil)
	if err != nil || len(plan.Rollout.Waves) != 2 || len(plan.Rollout.Members) != 2 {
		t.Fatalf("plan %+v, error %v", plan, err)
	}
	if got := f.runs(); len(got) != 0 {
		t.Errorf("clusters run %v", got)
	}
	begun := f.act(rollout.Start{Actor: actor, Plan: plan.Rollout.Plan})
	if begun.Plan != plan.Rollout.Plan || begun.Phase != rollout.Running {
		t.Errorf("begun %+v", begun)
	}
	other, err := f.PlanRollout(t.Context(), appKey, "", &fleet.RolloutPolicy{Waves: []fleet.Wave{{Name: "everyone"}}})
	if err != nil || len(other.Rollout.Waves) != 1 || other.Rollout.Waves[0].Name != "everyone" {
		t.Errorf("by another policy it is %+v, error %v", other, err)
	}
}

func TestPolicyThatPlacementsNameIsNotDeleted(t *testing.T) {
	t.Parallel()
	f := newRolledOut(t, canaryFirst, "canary-1")
	deletion := resource.Deletion{Kind: "RolloutPolicy", Name: "prod"}
	if _, err := f.DeleteObject(t.Context(), admin, deletion); !errors.Is(err, fleet.ErrConflict) || !strings.Contains(err.Error(), "Placement/apps/app") {
		t.Errorf("error %v", err)
	}
	f.apply(placementYAML(everywhere))
	if _, err := f.DeleteObject(t.Context(), admin, deletion); err != nil {
		t.Error(err)
	}
}

func TestAClusterHoldsAPruneUntilSomebodyHasApprovedThatSet(t *testing.T) {
	t.Parallel()
	f := newRolledOut(t, canaryFirst, "canary-1", "prod-1")
	f.push("one")
	f.settle(rollout.Succeeded)
	f.push("two")
	f.step()
	ro := f.loaded().Active
	says := func(set string) fleet.Digest {
		r := f.word(f.instances()["canary-1"].Assignment)
		digest := fleet.DigestOf([]byte(set))
		r.Stage, r.Converged, r.Waiting, r.HeldPrune = fleet.StageApplying, false, fleet.WaitingPruneHeld, &fleet.HeldPrune{Digest: digest, Count: 1}
		f.report("canary-1", r)
		return digest
	}
	holds := func(when string, want bool) {
		t.Helper()
		members, err := f.RolloutMembers(t.Context(), ro.ID, store.RolloutMemberQuery{})
		f.must(err)
		if len(members) != 2 || members[0].Name != "canary-1" || members[0].HoldsPrune != want || members[1].HoldsPrune {
			t.Errorf("%s: %+v", when, members)
		}
	}
	holds("before it says anything", false)
	held, one := says("set"), uint32(1)
	holds("as it says", true)
	_, err := f.ApprovePrune(t.Context(), admin, appKey, "", held, fleet.Order{Confirm: &one})
	f.must(err)
	holds("approved", false)
	f.step()
	if got := f.instances()["canary-1"].Assignment.ApprovedPrune; got != held {
		t.Fatalf("approved is %s", got)
	}
	says("set")
	holds("approved, and not taken up yet", false)
	says("another set")
	holds("of another set", true)
}
