package api_test

import (
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// restsWith expects the App to be Stalled and not Ready for that reason, and in no condition Reconciling, and the screen of the
// fleet to count and name it as failed.
func (f *rolled) restsWith(reason string, texts ...string) {
	f.t.Helper()
	app := f.getApp()
	want(f.t, app.condition("Ready"), "False "+reason+" ")
	want(f.t, app.condition("Stalled"), "True "+reason+" ")
	for _, text := range texts {
		want(f.t, app.condition("Ready"), text)
		want(f.t, app.condition("Stalled"), text)
	}
	if got := app.condition("Reconciling"); got != "" {
		f.t.Errorf("though nothing is on its way, Reconciling is %s", got)
	}
	status, err := adminv1.NewHubServiceClient(f.conn).Status(f.ctx, &adminv1.StatusRequest{})
	if err != nil {
		f.t.Fatal(err)
	}
	if n := status.GetApps(); n.GetFailed() != 1 || n.GetProgressing() != 0 {
		f.t.Errorf("counted as %v", n)
	}
	if troubles := status.GetTroubles(); len(troubles) != 1 || troubles[0].GetObject() != "Kustomization/apps/app" ||
		!strings.HasSuffix(app.condition("Stalled"), troubles[0].GetMessage()) {
		f.t.Errorf("troubles %v", troubles)
	}
}

// rejected has a person reject the approval that is waited for.
func (f *rolled) rejected() {
	f.t.Helper()
	if _, err := f.rollouts.DecideGate(f.ctx, &adminv1.DecideGateRequest{App: appRollout(), Comment: "not today"}); err != nil {
		f.t.Fatal(err)
	}
}

// cancelled has a person end the Rollout where it is.
func (f *rolled) cancelled() {
	f.t.Helper()
	if _, err := f.rollouts.CancelRollout(f.ctx, &adminv1.CancelRolloutRequest{App: appRollout()}); err != nil {
		f.t.Fatal(err)
	}
}

const startsAgain = "; the next revision begins another, and so does `fleetctl rollout start ks/app -n apps`"

func TestAppWhoseRolloutEndedWithoutAVerdictIsStalledUntilOneBegins(t *testing.T) {
	t.Parallel()
	rollback := strings.Replace(canaryFirst, `"allowUninstall":true`, `"action":"Rollback"`, 1)
	for name, test := range map[string]struct {
		policy string
		end    func(f *rolled)
		phase  rollout.Phase
	}{
		"cancelled": {canaryFirst, (*rolled).cancelled, rollout.Cancelled},
		"rolled back by hand": {canaryFirst, func(f *rolled) {
			if _, err := f.rollouts.Rollback(f.ctx, &adminv1.RollbackRequest{App: appRollout()}); err != nil {
				f.t.Fatal(err)
			}
		}, rollout.RolledBack},
		"rejected": {rollback, (*rolled).rejected, rollout.RolledBack},
		"not rolled back everywhere": {canaryFirst, func(f *rolled) {
			if _, err := f.rollouts.Rollback(f.ctx, &adminv1.RollbackRequest{App: appRollout()}); err != nil {
				f.t.Fatal(err)
			}
			f.roll()
			f.report("canary-1", func(r *fleet.Report) { r.Converged, r.Waiting = false, fleet.WaitingHold })
		}, rollout.RollbackFailed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newRolled(t, test.policy)
			f.push("one")
			f.approved()
			f.push("two")
			r := f.waiting()
			test.end(f)
			f.settle(test.phase)
			f.say()
			f.restsWith("Rollout"+string(test.phase), "rollout "+r.GetId()+" is "+string(test.phase), startsAgain)
			if _, err := f.rollouts.StartRollout(f.ctx, &adminv1.StartRolloutRequest{App: appRollout()}); err != nil {
				t.Fatal(err)
			}
			if app := f.getApp(); app.condition("Stalled") != "" || app.condition("Reconciling") == "" {
				t.Errorf("once one has begun again: %+v", app.Status.Conditions)
			}
		})
	}
}

func TestAppWhoseRolloutIsHaltedThoughNothingIsKnownOfItsReleaseIsStalled(t *testing.T) {
	t.Parallel()
	f := newRolled(t, canaryFirst)
	f.push("one")
	f.approved()
	f.push("two")
	f.waiting()
	f.rejected()
	f.settle(rollout.Halted)
	f.restsWith("RolloutHalted", "is Halted", "what leads on is in `fleetctl rollout status ks/app -n apps`")
}

func TestAppWhoseNewestReleaseIsBadIsStalledUntilSomebodyHasItTriedAllTheSame(t *testing.T) {
	t.Parallel()
	f := newRolled(t, strings.Replace(canaryFirst, `"allowUninstall":true`, `"action":"Rollback"`, 1))
	f.push("one")
	f.approved()
	f.bad[f.push("two").Digest()] = true
	f.settle(rollout.RolledBack)
	f.restsWith("ReleaseIsBad", "main@sha1:two is Bad", "and so does `fleetctl rollout start --allow-bad ks/app -n apps`")
	f.bad = map[fleet.Digest]bool{}
	if _, err := f.rollouts.StartRollout(f.ctx, &adminv1.StartRolloutRequest{App: appRollout(), AllowBad: true}); err != nil {
		t.Fatal(err)
	}
	app := f.getApp()
	want(t, app.condition("Ready"), "Unknown Progressing rollout "+f.current().GetId()+" is Running")
	if app.condition("Stalled") != "" {
		t.Errorf("while it is tried: %+v", app.Status.Conditions)
	}
}

func TestAppWhoseNewestReleaseWasTakenBackIsStalled(t *testing.T) {
	t.Parallel()
	f := newRolled(t, canaryFirst)
	f.push("one")
	f.approved()
	f.push("two")
	f.approved()
	if _, err := f.rollouts.Rollback(f.ctx, &adminv1.RollbackRequest{App: appRollout()}); err != nil {
		t.Fatal(err)
	}
	f.settle(rollout.Succeeded)
	f.restsWith("ReleaseTakenBack", "main@sha1:two was taken back", startsAgain)
}

func TestWhatARolloutCameToSaysNothingOfAReleaseThatWasJustBuilt(t *testing.T) {
	t.Parallel()
	supersedes := strings.Replace(canaryFirst, `"maxUnavailable"`, `"onNewRevision":"Supersede","maxUnavailable"`, 1)
	for name, test := range map[string]struct {
		policy, next string
		end          func(f *rolled)
	}{
		"after one that is halted": {canaryFirst, "three", func(f *rolled) {
			f.rejected()
			f.settle(rollout.Halted)
		}},
		"after one that is paused, and gives way": {supersedes, "three", func(f *rolled) {
			if _, err := f.rollouts.PauseRollout(f.ctx, &adminv1.PauseRolloutRequest{App: appRollout()}); err != nil {
				f.t.Fatal(err)
			}
		}},
		"back after one that was cancelled": {canaryFirst, "one", func(f *rolled) {
			f.cancelled()
			f.roll()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newRolled(t, test.policy)
			f.push("one")
			f.approved()
			f.push("two")
			f.waiting()
			test.end(f)
			f.push(test.next)
			app := f.getApp()
			want(t, app.condition("Ready"), "Unknown Progressing ")
			if got := app.condition("Stalled"); got != "" {
				t.Errorf("before the engine has seen it, Stalled is %s", got)
			}
		})
	}
}

func TestAppIsStalledSinceItsRolloutWasHalted(t *testing.T) {
	t.Parallel()
	f := newRolled(t, canaryFirst)
	f.push("one")
	f.approved()
	f.push("two")
	f.waiting()
	f.rejected()
	f.settle(rollout.Halted)
	var halted time.Time
	for next := f.watched(0); halted.IsZero(); {
		for _, e := range next().GetEvents() {
			if e.GetType() == string(rollout.Halted) {
				halted = e.GetAt().AsTime()
			}
		}
	}
	for _, c := range f.getApp().Status.Conditions {
		if !c.LastTransitionTime.Equal(halted) {
			t.Errorf("%s is said since %s, and it was halted at %s", c.Type, c.LastTransitionTime, halted)
		}
	}
}

func TestAppOfAPolicyThatBeginsNothingByItselfIsNotSaidToGoOnByARevision(t *testing.T) {
	t.Parallel()
	f := newRolled(t, strings.NewReplacer(`"maxUnavailable"`, `"autoStart":false,"maxUnavailable"`, `"name":"go"`, `"name":"go","allowSelf":true`).Replace(canaryFirst))
	start := func() {
		t.Helper()
		f.roll()
		if _, err := f.rollouts.StartRollout(f.ctx, &adminv1.StartRolloutRequest{App: appRollout()}); err != nil {
			t.Fatal(err)
		}
	}
	f.push("one")
	start()
	f.approved()
	f.push("two")
	start()
	f.waiting()
	f.cancelled()
	f.roll()
	f.restsWith("RolloutCancelled", "; `fleetctl rollout start ks/app -n apps` begins another")
}

func TestAppThatGoesToNoClusterIsNotReconciling(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(ksYAML)
	app := b.getApp()
	want(t, app.condition("Ready"), "Unknown NotPlaced")
	if app.condition("Reconciling")+app.condition("Stalled") != "" {
		t.Errorf("conditions %+v", app.Status.Conditions)
	}
}
