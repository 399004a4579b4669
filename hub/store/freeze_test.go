package store_test

import (
	"errors"
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
	if err := f.Freeze(t.Context(), actor, nil, "holidays"); err != nil {
		t.Fatal(err)
	}
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
	if err := f.Freeze(t.Context(), actor, []string{"prod-2"}, "disk"); err != nil {
		t.Fatal(err)
	}
	frozen, err := f.Frozen(t.Context())
	if err != nil || frozen.Fleet == nil || frozen.Fleet.Reason != "holidays" || frozen.Fleet.Actor != actor || frozen.Fleet.At.IsZero() ||
		len(frozen.Clusters) != 1 || frozen.Clusters[0].Cluster != "prod-2" || frozen.Clusters[0].Reason != "disk" {
		t.Errorf("frozen %+v, error %v", frozen, err)
	}
	if err := f.Unfreeze(t.Context(), actor, nil); err != nil {
		t.Fatal(err)
	}
	f.apply(clusterYAML("prod-2", "prod")) // who declares it anew does not end the freeze
	for range 3 {
		f.step()
		f.say()
	}
	if got := f.runs(); got["prod-1"] != second.Digest() || got["prod-2"] != first.Digest() {
		t.Fatalf("while prod-2 is frozen, clusters run %v", got)
	}
	if err := f.Unfreeze(t.Context(), actor, []string{"prod-2"}); err != nil {
		t.Fatal(err)
	}
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
	if err := f.Unfreeze(t.Context(), actor, []string{"prod-1"}); err != nil {
		t.Fatal(err)
	}
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
	if err := f.Freeze(t.Context(), actor, nil, " "); !errors.Is(err, fleet.ErrInvalid) {
		t.Errorf("without a reason: error %v", err)
	}
	for what, err := range map[string]error{
		"freeze": f.Freeze(t.Context(), actor, []string{"prod-1", "prod-9"}, "r"), "unfreeze": f.Unfreeze(t.Context(), actor, []string{"prod-9"}),
	} {
		if !errors.Is(err, fleet.ErrNotFound) || !strings.Contains(err.Error(), "Cluster/prod-9") || strings.Contains(err.Error(), "prod-1") {
			t.Errorf("%s: error %v", what, err)
		}
	}
	if frozen, err := f.Frozen(t.Context()); err != nil || len(frozen.Clusters) != 0 {
		t.Errorf("frozen %+v, error %v", frozen, err)
	}
}
