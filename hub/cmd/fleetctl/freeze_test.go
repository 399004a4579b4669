package main

import (
	"slices"
	"strings"
	"testing"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func TestFreezeIsToldWithWhoAndWhy(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	want(t, "stdout", b.ok("freeze", "--show").stdout, "nothing is frozen")
	b.fails(exitUsage, []string{"--reason is required"}, "freeze")
	b.fails(exitUsage, []string{"--show tells all that is frozen"}, "freeze", "--show", "prod-1")
	b.fails(exitUsage, []string{"--show tells all that is frozen"}, "freeze", "--show", "--confirm=2")
	b.fails(exitNotFound, []string{"Cluster/nope", "fleetctl get clusters"}, "freeze", "nope", "--reason", "x")
	b.ok("freeze", "--reason", "year's end", "--dry-run")
	want(t, "stdout", b.ok("freeze", "--show").stdout, "nothing is frozen")
	b.ok("freeze", "--reason", "year's end", "--confirm=2")
	want(t, "stdout", b.ok("freeze", "prod-1", "--reason", "network").stdout, `
FROZEN      SINCE   BY           REASON
the fleet   0s      user:admin   year's end
prod-1      0s      user:admin   network`)
	want(t, "stdout", b.ok("unfreeze", "--confirm=2").stdout, "FROZEN   SINCE   BY           REASON\nprod-1   0s      user:admin   network")
	if d := parseJSON(t, b.ok("freeze", "--show", "-o", "json").stdout); d["fleet"] != nil || len(d["clusters"].([]any)) != 1 {
		t.Errorf("-o json gives %v", d)
	}
	want(t, "stdout", b.ok("unfreeze", "prod-1").stdout, "nothing is frozen")
}

// Rule: what means the whole fleet is confirmed by the number of its clusters, as what deletes is.
func TestFreezeOfTheFleetAndItsEndAreConfirmedByTheNumberOfClusters(t *testing.T) {
	t.Parallel()
	const begins, ends = "nothing new goes to any cluster, until unfreeze (year's end)", "the freeze of the whole fleet ends (night)"
	for _, test := range []struct {
		name, args string
		tty        bool
		typed      string
		code       exitCode
		texts      []string
	}{
		{"typed", "", true, "2\n", exitDone, []string{"Type the number of clusters (2)"}},
		{"wrong number typed", "", true, "3\n", exitUsage, []string{"not confirmed: nothing was changed"}},
		{"yes typed", "", true, "yes\n", exitUsage, []string{"not confirmed: nothing was changed"}},
		{"no terminal", "", false, "", exitUsage, []string{"this has to be confirmed, and there is no terminal to ask at", "try: --confirm=2"}},
		{"-y", "-y", false, "", exitUsage, []string{"-y is not enough here", "try: --confirm=2"}},
		{"given", "--confirm=2", false, "", exitDone, nil},
		{"given wrong", "--confirm=3", true, "2\n", exitUsage, []string{"--confirm says 3, and it is 2 clusters"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for what, args := range map[string][]string{begins: {"freeze", "--reason", "year's end"}, ends: {"unfreeze"}} {
				b := newFleet(t)
				b.hub.rolled.frozen.Fleet = &adminv1.FreezeState{Reason: "night", Actor: "user:admin"}
				b.tty, b.stdin = test.tty, test.typed
				texts := slices.Clone(test.texts)
				if test.code == exitUsage {
					texts = append(texts, what+": it means every cluster there is or will be")
				}
				b.fails(test.code, texts, append(args, strings.Fields(test.args)...)...)
				var sent []uint32
				for _, r := range b.hub.requests {
					if change, ok := r.(interface {
						GetConfirm() uint32
						GetDryRun() bool
					}); ok && !change.GetDryRun() {
						sent = append(sent, change.GetConfirm())
					}
				}
				if done := test.code == exitDone; done && !slices.Equal(sent, []uint32{2}) || !done && len(sent) > 0 {
					t.Errorf("%s was sent with %v", args[0], sent)
				}
			}
		})
	}
}

func TestUnfreezeOfTheFleetSaysWhichRolloutsGoOn(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	b.ok("freeze", "--reason", "year's end", "--confirm=2")
	b.hub.changeRollout(t, "ro-7k2f", func(ro *adminv1.Rollout) { ro.Reason, ro.Message = "Frozen", "the fleet is frozen: year's end" })
	b.fails(exitUsage, []string{"ro-7k2f of ks/app goes on to main@sha1:696f056d (sha256:9f3c1a2b)"}, "unfreeze")
}
