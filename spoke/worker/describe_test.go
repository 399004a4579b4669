package worker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/run"
)

func TestReportSaysWhatFluxWouldAndMore(t *testing.T) {
	t.Parallel()
	a := assigned(1, nil)
	waiting := assigned(1, func(a *Assigned) { a.Release.Wait = true })
	suspended := assigned(1, func(a *Assigned) { a.Suspend = true })
	asked := assigned(1, func(a *Assigned) { a.RequestedAt = "now" })
	release := assigned(1, func(a *Assigned) { a.App.Kind = "HelmRelease" })
	healthy := condition(fleet.True, fleet.ReasonSucceeded, "3 objects are ready")
	progressing := condition(fleet.Unknown, fleet.ReasonProgressing, "Deployment/apps/web: InProgress: 0 of 1")
	sick := condition(fleet.False, fleet.ReasonHealthCheckFailed, "Deployment/apps/web: Failed: ErrImagePull")
	held := &fleet.HeldPrune{Digest: fleet.Digest{7}, Count: 9, Reason: "all of it"}
	at := func(want Assigned, healthy fleet.Condition) Status {
		return Status{Applied: want.Release.Digest(), Healthy: healthy, Failed: healthy.Status == fleet.False}
	}
	broken := &Failure{Err: errors.New("Deployment/apps/web: invalid"), Reason: fleet.ReasonFailed, Terminal: true}
	unreachable := &Failure{Err: errors.New("429"), Reason: fleet.ReasonFailed, Transient: true}
	noUninstall := &Failure{Err: errors.New("Pod/apps/a: webhook"), Reason: "UninstallFailed"}
	noPrune := &Failure{Err: errors.New("ConfigMap/apps/a: webhook"), Reason: fleet.ReasonPruneFailed}
	newer := assigned(2, func(a *Assigned) { a.Err = errors.New("state \"Frozen\"") })
	type says struct {
		stage     fleet.Stage
		ready     fleet.ConditionStatus
		reason    string
		message   string // a part of it
		converged bool
		terminal  bool
		waiting   fleet.Waiting
		expires   time.Duration // after t0
	}
	since := t0.Add(-20 * time.Second) // unhealthy, of a minute's timeout
	for name, c := range map[string]struct {
		view
		says
	}{
		"known":                     {view{want: a}, says{stage: fleet.StageReceived, ready: fleet.Unknown, reason: fleet.ReasonProgressing}},
		"applying":                  {view{want: a, applying: true}, says{stage: fleet.StageApplying, ready: fleet.Unknown, reason: fleet.ReasonProgressing}},
		"a newer release comes":     {view{want: assigned(2, nil), status: at(a, healthy), progress: progress{last: ended(pass, a, nil, 0)}}, says{stage: fleet.StageReceived, ready: fleet.Unknown, reason: fleet.ReasonProgressing}},
		"healthy":                   {view{want: a, status: at(a, healthy), progress: progress{last: ended(pass, a, nil, 0)}}, says{stage: fleet.StageSettled, ready: fleet.True, reason: fleet.ReasonSucceeded, converged: true}},
		"healthy after a restart":   {view{want: a, status: at(a, healthy)}, says{stage: fleet.StageSettled, ready: fleet.True, reason: fleet.ReasonSucceeded, converged: true}},
		"a full pass while healthy": {view{want: a, status: at(a, healthy), progress: progress{last: ended(pass, a, nil, 0)}, applying: true}, says{stage: fleet.StageSettled, ready: fleet.True, reason: fleet.ReasonSucceeded, converged: true}},
		"health awaited, no wait":   {view{want: a, status: at(a, progressing), progress: progress{last: ended(pass, a, nil, 0)}}, says{stage: fleet.StageVerifying, ready: fleet.True, reason: fleet.ReasonSucceeded, expires: 40 * time.Second}},
		"health awaited, wait":      {view{want: waiting, status: at(waiting, progressing), progress: progress{last: ended(pass, waiting, nil, 0)}}, says{stage: fleet.StageVerifying, ready: fleet.Unknown, reason: fleet.ReasonProgressing, message: "0 of 1", expires: 40 * time.Second}},
		"was healthy, wait":         {view{want: waiting, status: at(waiting, progressing), settled: true}, says{stage: fleet.StageVerifying, ready: fleet.True, reason: fleet.ReasonSucceeded, expires: 40 * time.Second}},
		"too late, no wait":         {view{want: a, status: at(a, progressing), now: t0.Add(40 * time.Second)}, says{stage: fleet.StageFailed, ready: fleet.True, reason: fleet.ReasonSucceeded}},
		"too late, wait":            {view{want: waiting, status: at(waiting, progressing), settled: true, now: t0.Add(40 * time.Second)}, says{stage: fleet.StageFailed, ready: fleet.False, reason: fleet.ReasonHealthCheckFailed, message: "not healthy within 1m0s: Deployment/apps/web: InProgress"}},
		"sick, no wait":             {view{want: a, status: at(a, sick)}, says{stage: fleet.StageFailed, ready: fleet.True, reason: fleet.ReasonSucceeded}},
		"sick, wait":                {view{want: waiting, status: at(waiting, sick)}, says{stage: fleet.StageFailed, ready: fleet.False, reason: fleet.ReasonHealthCheckFailed, message: "ErrImagePull"}},
		"failed":                    {view{want: a, status: at(a, healthy), progress: progress{last: ended(pass, a, broken, 1)}}, says{stage: fleet.StageFailed, ready: fleet.False, reason: fleet.ReasonFailed, message: "web: invalid", terminal: true}},
		"applying, in its words":    {view{want: a, applying: true, status: Status{Ready: condition(fleet.Unknown, "Progressing", "Running install")}}, says{stage: fleet.StageApplying, ready: fleet.Unknown, reason: fleet.ReasonProgressing, message: "Running install"}},
		"healthy, in its words":     {view{want: a, status: Status{Applied: a.Release.Digest(), Healthy: healthy, Ready: condition(fleet.True, "InstallSucceeded", "installed")}}, says{stage: fleet.StageSettled, ready: fleet.True, reason: "InstallSucceeded", message: "installed", converged: true}},
		"not reached once":          {view{want: a, progress: progress{last: ended(pass, a, unreachable, 1)}}, says{stage: fleet.StageApplying, ready: fleet.Unknown, reason: fleet.ReasonProgressing, message: "429"}},
		"not reached, in place":     {view{want: a, status: at(a, healthy), progress: progress{last: ended(pass, a, unreachable, 1)}}, says{stage: fleet.StageSettled, ready: fleet.True, reason: fleet.ReasonSucceeded}},
		"not reached for long":      {view{want: a, progress: progress{last: ended(pass, a, unreachable, 3)}}, says{stage: fleet.StageFailed, ready: fleet.False, reason: fleet.ReasonFailed, message: "429"}},
		"prune failed":              {view{want: a, status: at(a, healthy), progress: progress{last: ended(pass, a, noPrune, 1)}}, says{stage: fleet.StageFailed, ready: fleet.False, reason: fleet.ReasonPruneFailed, message: "webhook"}},
		"prune held":                {view{want: a, status: Status{Applied: a.Release.Digest(), Healthy: healthy, HeldPrune: held}, progress: progress{last: ended(pass, a, nil, 0)}}, says{stage: fleet.StageSettled, ready: fleet.True, reason: fleet.ReasonSucceeded, waiting: fleet.WaitingPruneHeld}},
		"suspended":                 {view{want: suspended, status: at(a, healthy), ready: sick}, says{stage: fleet.StageSuspended, ready: fleet.False, reason: fleet.ReasonHealthCheckFailed, converged: true}},
		"suspended, restarted":      {view{want: suspended, status: at(a, healthy)}, says{stage: fleet.StageSuspended, ready: fleet.True, reason: fleet.ReasonSucceeded, converged: true}},
		"suspended from the start":  {view{want: suspended}, says{stage: fleet.StageSuspended, ready: fleet.Unknown, reason: fleet.ReasonSuspended}},
		"removing":                  {view{want: removed(2), status: at(a, healthy)}, says{stage: fleet.StageRemoving, ready: fleet.Unknown, reason: fleet.ReasonProgressing}},
		"removal held":              {view{want: removed(2), status: Status{HeldPrune: held}}, says{stage: fleet.StageRemoving, ready: fleet.Unknown, reason: fleet.ReasonProgressing, waiting: fleet.WaitingPruneHeld}},
		"removal failed":            {view{want: removed(2), progress: progress{last: ended(remove, removed(2), noPrune, 1)}}, says{stage: fleet.StageRemoving, ready: fleet.False, reason: fleet.ReasonPruneFailed, message: "webhook"}},
		"uninstall failed":          {view{want: removed(2), progress: progress{last: ended(remove, removed(2), noUninstall, 1)}}, says{stage: fleet.StageRemoving, ready: fleet.False, reason: "UninstallFailed", message: "webhook"}},
		"removed":                   {view{want: removed(2), progress: progress{removed: removed(2).generation()}}, says{stage: fleet.StageRemoved, ready: fleet.Unknown, reason: fleet.ReasonProgressing}},
		"failed, asked again":       {view{want: asked, status: at(a, healthy), progress: progress{last: ended(pass, a, broken, 1)}}, says{stage: fleet.StageFailed, ready: fleet.False, reason: fleet.ReasonFailed, message: "web: invalid"}},
		"failed again":              {view{want: asked, status: at(a, healthy), progress: progress{last: ended(pass, a, broken, 1), handled: "now"}}, says{stage: fleet.StageFailed, ready: fleet.False, reason: fleet.ReasonFailed, message: "web: invalid", terminal: true}},
		"restarted":                 {view{want: a, status: at(a, healthy)}, says{stage: fleet.StageSettled, ready: fleet.True, reason: fleet.ReasonSucceeded, converged: true}},
		"restarted, of Helm":        {view{want: release, status: at(release, healthy)}, says{stage: fleet.StageSettled, ready: fleet.True, reason: fleet.ReasonSucceeded}},
		"restarted, of Helm, well":  {view{want: release, status: Status{Applied: release.Release.Digest(), Healthy: healthy, Ready: healthy}}, says{stage: fleet.StageSettled, ready: fleet.True, reason: fleet.ReasonSucceeded, converged: true}},
		"on hold":                   {view{want: a, held: "held"}, says{stage: fleet.StageReceived, ready: fleet.False, reason: fleet.ReasonHeld, message: "held; release", waiting: fleet.WaitingHold}},
		"on hold after a failure":   {view{want: a, held: "held", progress: progress{last: ended(pass, a, broken, 1)}}, says{stage: fleet.StageReceived, ready: fleet.False, reason: fleet.ReasonHeld, message: "held; release", waiting: fleet.WaitingHold}},
		"on hold, in place":         {view{want: a, held: "held", status: at(a, healthy), progress: progress{last: ended(pass, a, nil, 0)}}, says{stage: fleet.StageSettled, ready: fleet.True, reason: fleet.ReasonSucceeded, message: "held: nothing new", converged: true}},
		"on hold, removal":          {view{want: removed(2), held: "held"}, says{stage: fleet.StageRemoving, ready: fleet.False, reason: fleet.ReasonHeld, message: "held; its objects", waiting: fleet.WaitingHold}},
		"not understood":            {view{want: a, status: at(a, healthy), unreadable: &newer}, says{stage: fleet.StageFailed, ready: fleet.False, reason: fleet.ReasonFailed, message: "Frozen", terminal: true}},
	} {
		c.unhealthySince, c.awaitedSince = since, since
		if c.now.IsZero() {
			c.now = t0
		}
		report, next := describe(c.view)
		got := says{report.Stage, report.Ready.Status, report.Ready.Reason, c.message, report.Converged, report.Terminal, report.Waiting, 0}
		if !next.IsZero() {
			got.expires = next.Sub(t0)
		}
		if c.waiting == "" {
			c.waiting = fleet.WaitingNone
		}
		if got != c.says || !strings.Contains(report.Ready.Message, c.message) {
			t.Errorf("%s:\n got %+v (%s)\nwant %+v", name, got, report.Ready.Message, c.says)
		}
		if report.Available != (c.status.Healthy.Status == fleet.True) {
			t.Errorf("%s: available %t", name, report.Available)
		}
		generation := c.want.Generation
		if c.unreadable != nil {
			generation = c.unreadable.Generation
		}
		if report.Generation != generation || report.Applied != c.status.Applied || report.ObservedAt != c.now {
			t.Errorf("%s: generation %d, applied %s", name, report.Generation, report.Applied)
		}
	}
}

func TestFailureIsNamedAsFluxNamesItAndKnowsWhetherRetriesHelp(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err                 error
		reason              string
		want                string
		transient, terminal bool
	}{
		"plain":           {errors.New("x"), "", fleet.ReasonFailed, false, false},
		"while fetching":  {errors.New("x"), fleet.ReasonArtifactFailed, fleet.ReasonArtifactFailed, false, false},
		"named":           {fmt.Errorf("deploy: %w", &Failure{Err: errors.New("x"), Reason: fleet.ReasonManagedByFlux}), fleet.ReasonFailed, fleet.ReasonManagedByFlux, false, false},
		"invalid":         {fmt.Errorf("deploy: %w", fleet.ErrInvalid), fleet.ReasonFailed, fleet.ReasonFailed, false, true},
		"terminal":        {fmt.Errorf("deploy: %w", fleet.ErrTerminal), fleet.ReasonFailed, fleet.ReasonFailed, false, true},
		"transient":       {&Failure{Err: errors.New("x"), Transient: true}, fleet.ReasonFailed, fleet.ReasonFailed, true, false},
		"too slow":        {fmt.Errorf("deploy: %w", context.DeadlineExceeded), fleet.ReasonFailed, fleet.ReasonFailed, true, false},
		"invalid, though": {&Failure{Err: fleet.ErrInvalid, Transient: true}, fleet.ReasonFailed, fleet.ReasonFailed, false, true},
	} {
		got := failureOf(c.err, c.reason)
		if got.Reason != c.want || got.Transient != c.transient || got.Terminal != c.terminal || !errors.Is(got, c.err) && !errors.As(got, new(*Failure)) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if failureOf(nil, "x") != nil {
		t.Error("nil is a failure")
	}
	if got := failureOf(&run.PanicError{Value: "secret", Stack: []byte("stack")}, ""); strings.Contains(got.Error(), "secret") {
		t.Errorf("a panic is shown as %q", got)
	}
}

func TestEventTellsAFailureItsChangesAndItsEnd(t *testing.T) {
	t.Parallel()
	told := func(c fleet.Condition) fleet.Report { return fleet.Report{App: here, Ready: c} }
	good := told(condition(fleet.True, fleet.ReasonSucceeded, "Applied"))
	bad := told(condition(fleet.False, fleet.ReasonFailed, "one"))
	worse := told(condition(fleet.False, fleet.ReasonFailed, "two"))
	busy := told(condition(fleet.Unknown, fleet.ReasonProgressing, "Applying"))
	for name, c := range map[string]struct {
		before, after  fleet.Report
		worth, warning bool
	}{
		"fails": {good, bad, true, true}, "fails otherwise": {bad, worse, true, true}, "fails on": {bad, bad, false, false},
		"is well again": {bad, good, true, false}, "is busy": {good, busy, false, false}, "is done": {busy, good, false, false},
	} {
		event, worth := eventOf(c.before, c.after)
		if worth != c.worth || event.Warning != c.warning || event.App != here {
			t.Errorf("%s: worth %t, %+v", name, worth, event)
		}
	}
}
