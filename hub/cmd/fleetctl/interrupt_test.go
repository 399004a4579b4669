package main

import (
	"strings"
	"testing"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func TestInterruptedWaitSaysThatTheHubGoesOn(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.hub.put(t, ksProgressing)
	r := b.start("reconcile", "ks/app", "--wait")
	r.stderr.says(t, "waiting for ks/app")
	r.interrupt()
	if code := r.wait(); code != int(exitInterrupted) {
		t.Errorf("exit %d", code)
	}
	wantTexts(t, "stderr", r.stderr.String(), "interrupted", "goes on at the hub")
}

func TestInterruptBeforeAnythingWasAskedSaysThatNothingChanged(t *testing.T) {
	t.Parallel()
	t.Run("at the prompt", func(t *testing.T) {
		t.Parallel()
		b := newFleet(t)
		b.hub.impact("app", &adminv1.Impact{Clusters: 2, Deletes: true})
		b.tty, b.typing = true, newReading()
		r := b.start("delete", "ks/app")
		r.stderr.says(t, "Type the number of clusters")
		r.interrupt()
		if code := r.wait(); code != int(exitInterrupted) {
			t.Errorf("exit %d", code)
		}
		wantTexts(t, "stderr", r.stderr.String(), "interrupted: nothing was changed")
	})
	t.Run("while stdin is read", func(t *testing.T) {
		t.Parallel()
		for _, args := range []string{"apply -f -", "delete -f -", "config set-context new --token-stdin"} {
			b := newFleet(t)
			reading := newReading()
			b.typing = reading
			r := b.start(strings.Fields(args)...)
			<-reading.begun
			r.interrupt()
			if code := r.wait(); code != int(exitInterrupted) {
				t.Errorf("%s: exit %d", args, code)
			}
			wantTexts(t, "stderr", r.stderr.String(), "interrupted: nothing was changed")
		}
	})
}

func TestInterruptAfterAChangeSaysHowToFollowIt(t *testing.T) {
	t.Parallel()
	for args, follow := range map[string]string{
		"reconcile ks/app --wait":             "try: fleetctl get ks/apps/app -w",
		"delete ks/app --wait":                "try: fleetctl wait ks/apps/app --for=delete",
		"apply -f FILE --wait":                "try: fleetctl get gitrepo/apps/app ks/apps/app pl/apps/app -w",
		"reconcile ks/app@prod-1 --wait":      "try: fleetctl get ks/apps/app@prod-1 -w",
		"resume ks/app --wait":                "try: fleetctl get ks/apps/app -w",
		"reconcile gitrepo/app ks/app --wait": "try: fleetctl get gitrepo/apps/app -w",
	} {
		b := newFleet(t)
		b.hub.put(t, ksProgressing)
		r := b.start(strings.Fields(strings.Replace(args, "FILE", b.write("fleet.yaml", declared), 1))...)
		r.stderr.says(t, "waiting for")
		r.interrupt()
		if code := r.wait(); code != int(exitInterrupted) {
			t.Errorf("%s: exit %d", args, code)
		}
		wantTexts(t, args, r.stderr.String(), "Error: interrupted\n  what was asked for goes on at the hub\n  "+follow)
	}
}
