package store_test

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

func TestNothingNewGoesWhereItIsFrozen(t *testing.T) {
	t.Parallel()
	f := newRolledOut(t, `{"waves":[{"name":"all","maxConcurrent":"100%"}],"maxUnavailable":"100%"}`, "prod-1", "prod-2")
	first := f.push("one")
	f.settle(rollout.Succeeded)
	f.freeze("holidays")
	second := f.push("two")
	for range 3 {
		f.step()
		f.say()
	}
	if got := f.runs(); got["prod-1"] != first.Digest() || got["prod-2"] != first.Digest() {
		t.Fatalf("while the fleet is frozen, clusters run %v", got)
	}
	r, err := f.Rollout(t.Context(), appKey, "")
	if err != nil || r.Reason != rollout.ReasonFrozen || !strings.Contains(r.Message, "holidays") {
		t.Errorf("it waits for %s: %s, error %v", r.Reason, r.Message, err)
	}
	f.freeze("disk", "prod-2")
	frozen, err := f.Frozen(t.Context())
	if err != nil || frozen.Fleet == nil || frozen.Fleet.Reason != "holidays" || frozen.Fleet.Actor != actor || frozen.Fleet.At.IsZero() ||
		len(frozen.Clusters) != 1 || frozen.Clusters[0].Cluster != "prod-2" || frozen.Clusters[0].Reason != "disk" {
		t.Errorf("frozen %+v, error %v", frozen, err)
	}
	f.unfreeze()
	f.apply(clusterYAML("prod-2", "prod")) // who declares it anew does not end the freeze
	for range 3 {
		f.step()
		f.say()
	}
	if got := f.runs(); got["prod-1"] != second.Digest() || got["prod-2"] != first.Digest() {
		t.Fatalf("while prod-2 is frozen, clusters run %v", got)
	}
	f.unfreeze("prod-2")
	f.settle(rollout.Succeeded)
	for range 2 {
		f.step()
		f.say()
	}
	if got := f.runs(); got["prod-2"] != second.Digest() {
		t.Errorf("once nothing is frozen, clusters run %v", got)
	}
	if frozen, err := f.Frozen(t.Context()); err != nil || frozen.Fleet != nil || len(frozen.Clusters) != 0 {
		t.Errorf("frozen %+v, error %v", frozen, err)
	}
	var rows []string
	for _, row := range f.audited(5) {
		if strings.Contains(row, "freeze") {
			rows = append(rows, row)
		}
	}
	if !slices.Equal(rows, []string{"freeze fleet: holidays", "freeze Cluster/prod-2: disk", "unfreeze fleet: ", "unfreeze Cluster/prod-2: "}) {
		t.Errorf("audited %q", rows)
	}
}

// What a Cluster's declaration says is seen and ended like any other freeze.
func TestHoldInADeclarationIsAFreeze(t *testing.T) {
	t.Parallel()
	f := newRolledOut(t, `{"waves":[{"name":"all","maxConcurrent":"100%"}],"maxUnavailable":"100%"}`, "prod-1")
	f.apply(strings.Replace(clusterYAML("prod-1", "prod"), `"labels"`, `"annotations":{"fleet.flotilla.dev/hold":"move"},"labels"`, 1))
	f.push("one")
	f.step()
	if got := f.runs(); len(got) != 0 {
		t.Errorf("clusters run %v", got)
	}
	if frozen, err := f.Frozen(t.Context()); err != nil || len(frozen.Clusters) != 1 || frozen.Clusters[0].Reason != "move" || frozen.Clusters[0].Actor != "" {
		t.Errorf("frozen %+v, error %v", frozen, err)
	}
	f.unfreeze("prod-1")
	f.settle(rollout.Succeeded)
	if frozen, err := f.Frozen(t.Context()); err != nil || len(frozen.Clusters) != 0 {
		t.Errorf("frozen %+v, error %v", frozen, err)
	}
}

// Whoever gives none in a hurry means it all the same.
func TestHoldInADeclarationNeedsNoReason(t *testing.T) {
	t.Parallel()
	f := newRolledOut(t, `{"waves":[{"name":"all","maxConcurrent":"100%"}],"maxUnavailable":"100%"}`, "prod-1")
	declared := func(value string) string {
		return strings.Replace(clusterYAML("prod-1", "prod"), `"labels"`, `"annotations":{"fleet.flotilla.dev/hold":"`+value+`"},"labels"`, 1)
	}
	f.push("one")
	for _, value := range []string{"", "true"} {
		f.apply(declared(value))
		f.step()
		if got := f.runs(); len(got) != 0 {
			t.Errorf("%q: clusters run %v", value, got)
		}
		if frozen, err := f.Frozen(t.Context()); err != nil || len(frozen.Clusters) != 1 || frozen.Clusters[0].Reason != "no reason is given" {
			t.Errorf("%q: frozen %+v, error %v", value, frozen, err)
		}
	}
	f.apply(declared("false"))
	if frozen, err := f.Frozen(t.Context()); err != nil || len(frozen.Clusters) != 0 {
		t.Errorf("frozen %+v, error %v", frozen, err)
	}
	f.settle(rollout.Succeeded)
}

func TestFreezeNeedsAReasonAndClustersThatThereAre(t *testing.T) {
	t.Parallel()
	f := newRolledOut(t, canaryFirst, "prod-1")
	if _, _, err := f.Freeze(t.Context(), actor, nil, " ", fleet.Order{}); !errors.Is(err, fleet.ErrInvalid) {
		t.Errorf("without a reason: error %v", err)
	}
	_, _, frozen := f.Freeze(t.Context(), actor, []string{"prod-1", "prod-9"}, "r", fleet.Order{})
	_, _, ended := f.Unfreeze(t.Context(), actor, []string{"prod-9"}, fleet.Order{})
	for what, err := range map[string]error{"freeze": frozen, "unfreeze": ended} {
		if !errors.Is(err, fleet.ErrNotFound) || !strings.Contains(err.Error(), "Cluster/prod-9") || strings.Contains(err.Error(), "prod-1") {
			t.Errorf("%s: error %v", what, err)
		}
	}
	if frozen, err := f.Frozen(t.Context()); err != nil || len(frozen.Clusters) != 0 {
		t.Errorf("frozen %+v, error %v", frozen, err)
	}
}

func TestFreezeMeansSoManyClustersAndIsRefusedWhereAnotherNumberWasConfirmed(t *testing.T) {
	t.Parallel()
	f := newRolledOut(t, canaryFirst, "canary-1", "prod-1", "prod-2")
	for _, test := range []struct {
		clusters []string
		want     fleet.Impact
	}{
		{nil, fleet.Impact{Clusters: 3, EveryCluster: true}}, {[]string{"prod-1", "prod-1"}, fleet.Impact{Clusters: 1}},
	} {
		wrong, right := uint32(2), uint32(test.want.Clusters)
		for _, order := range []fleet.Order{{DryRun: true, Confirm: &wrong}, {Confirm: &wrong}} {
			_, _, err := f.Freeze(t.Context(), actor, test.clusters, "night", order)
			_, _, ended := f.Unfreeze(t.Context(), actor, test.clusters, order)
			for _, err := range []error{err, ended} {
				if !errors.Is(err, fleet.ErrConflict) || !strings.Contains(err.Error(), "2 clusters were confirmed and the change concerns") {
					t.Errorf("%v: error %v", test.clusters, err)
				}
			}
		}
		for _, order := range []fleet.Order{{DryRun: true}, {DryRun: true, Confirm: &right}, {}, {Confirm: &right}} {
			then, impact, err := f.Freeze(t.Context(), actor, test.clusters, "night", order)
			if err != nil || !reflect.DeepEqual(impact, test.want) || (then.Fleet != nil) != (test.clusters == nil) || (len(then.Clusters) == 1) != (test.clusters != nil) {
				t.Errorf("freeze of %v: impact %+v, and then %+v, error %v", test.clusters, impact, then, err)
			}
			now, err := f.Frozen(t.Context())
			if frozen := now.Fleet != nil || len(now.Clusters) > 0; err != nil || frozen == order.DryRun {
				t.Errorf("freeze of %v with %+v: frozen are %+v, error %v", test.clusters, order, now, err)
			}
			then, impact, err = f.Unfreeze(t.Context(), actor, test.clusters, order)
			if err != nil || !reflect.DeepEqual(impact, test.want) || then.Fleet != nil || len(then.Clusters) > 0 {
				t.Errorf("unfreeze of %v: impact %+v, and then %+v, error %v", test.clusters, impact, then, err)
			}
		}
	}
	if rows := f.audited(100); !slices.Contains(rows, "freeze fleet: night, confirmed for 3 clusters") || !slices.Contains(rows, "unfreeze fleet: confirmed for 3 clusters") {
		t.Errorf("audited %q", rows)
	}
}

// freeze freezes clusters by name; none: the fleet.
func (f *rolledOut) freeze(reason string, clusters ...string) {
	f.t.Helper()
	_, _, err := f.Freeze(f.t.Context(), actor, clusters, reason, fleet.Order{})
	f.must(err)
}

func (f *rolledOut) unfreeze(clusters ...string) {
	f.t.Helper()
	_, _, err := f.Unfreeze(f.t.Context(), actor, clusters, fleet.Order{})
	f.must(err)
}
