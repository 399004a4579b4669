package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flotilla.dev/flotilla/pkg/expr"
	"flotilla.dev/flotilla/pkg/fleet"
)

func on(name, readyExpr string) fleet.Dependency {
	return fleet.Dependency{Kind: "Kustomization", Namespace: "apps", Name: name, ReadyExpr: readyExpr}
}

// dependent is an App named b that depends on another one named a.
func (b *bench) dependent(what string, edit func(*Assigned)) Assigned {
	return b.assignment("b", what, func(a *Assigned) {
		a.Release.DependsOn = []fleet.Dependency{on("a", "")}
		if edit != nil {
			edit(a)
		}
	})
}

// sick makes passes of an App leave it not healthy, waited for.
func (b *bench) sick(app fleet.Key) {
	b.engine.set(app, func(s *Status) { s.Healthy = condition(fleet.Unknown, fleet.ReasonProgressing, "web: 0 of 1") })
}

func (b *bench) heal(app fleet.Key) {
	b.engine.set(app, func(s *Status) { s.Healthy = condition(fleet.True, fleet.ReasonSucceeded, "fine") })
	b.pool.Changed(app)
}

func (b *bench) waits(app fleet.Key, why string) {
	b.Helper()
	synctest.Wait()
	b.idle("while " + app.Name + " waits")
	r := b.last(app)
	if r.Waiting != fleet.WaitingDependency || r.Ready.Status != fleet.False || r.Ready.Reason != "DependencyNotReady" || !strings.Contains(r.Ready.Message, why) {
		b.Errorf("%s reports %+v, want %q", app.Name, r, why)
	}
}

func waited(a *Assigned) { a.Release.Wait = true }

func TestPassWaitsForTheDependencyAndBeginsAtOnceWhenItIsReady(t *testing.T) {
	bubble(t, func(b *bench) {
		a, d := b.assignment("a", "one", waited), b.dependent("one", nil)
		b.sick(a.App)
		b.set(a, d)
		if got := b.next("deploy").target; got.App != a.App {
			b.Fatalf("deployed %s first", got.App.Name)
		}
		time.Sleep(20 * time.Second)
		b.waits(d.App, "dependency Kustomization/apps/a is not ready: Progressing")
		ready := time.Now()
		b.heal(a.App)
		if got := b.next("deploy"); got.target.App != d.App || got.at.Sub(ready) > 0 {
			b.Errorf("%s later %s was deployed", got.at.Sub(ready), got.target.App.Name)
		}
		synctest.Wait()
		if r := b.last(d.App); r.Ready.Status != fleet.True || r.Waiting != fleet.WaitingNone || !r.Converged {
			b.Errorf("reported %+v", r)
		}
		for _, event := range b.events {
			if event.App == d.App && event.Warning {
				b.Errorf("it warned: %+v", event)
			}
		}
	})
}

// In whatever order the workers look: the new release of the dependency counts from the state on that brings it.
func TestReleasesThatComeTogetherAreAppliedInOrder(t *testing.T) {
	t.Parallel()
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			a, d := b.assignment("a", "one", waited), b.dependent("one", nil)
			b.set(a, d)
			b.next("deploy")
			b.next("deploy")
			synctest.Wait()
			b.sick(a.App)
			a2, d2 := b.assignment("a", "two", waited), b.dependent("two", nil)
			a2.Generation, d2.Generation = 2, 2
			b.set(a2, d2)
			if got := b.next("deploy").target; got.App != a.App {
				b.Fatalf("deployed %s first", got.App.Name)
			}
			b.waits(d.App, "dependency Kustomization/apps/a is not ready")
			b.heal(a.App)
			if got := b.next("deploy").target; got.App != d.App || got.Release.Digest() != d2.Release.Digest() {
				b.Errorf("then %s was deployed", got.App.Name)
			}
		})
	}
}

func TestDependencyThatIsNotInTheClusterIsNamedWithTheWayOut(t *testing.T) {
	bubble(t, func(b *bench) {
		d := b.dependent("one", func(d *Assigned) {
			d.Release.DependsOn[0] = fleet.Dependency{Kind: "HelmRelease", Namespace: "infra", Name: "redis"}
		})
		b.set(d)
		b.waits(d.App, "dependency HelmRelease/infra/redis is not in this cluster: have its Placement choose this cluster too")
		d.Release.DependsOn, d.Generation = nil, 2
		b.set(d)
		b.next("deploy")
	})
}

func TestDependentLooksAgainWhenItsDependencyComesOrGoes(t *testing.T) {
	bubble(t, func(b *bench) {
		a, d := b.assignment("a", "one", nil), b.dependent("one", nil)
		a.Suspend = true // it never gets ready
		b.set(d)
		b.waits(d.App, "dependency Kustomization/apps/a is not in this cluster")
		b.set(a, d)
		b.waits(d.App, "dependency Kustomization/apps/a is not ready")
		kept := a
		kept.Kept = true
		for _, without := range [][]Assigned{{kept, d}, {d}} {
			b.set(without...)
			b.waits(d.App, "dependency Kustomization/apps/a is not in this cluster")
			b.set(a, d)
			b.waits(d.App, "dependency Kustomization/apps/a is not ready")
		}
	})
}

func TestEveryPassWaitsAndADeletionDoesNot(t *testing.T) {
	bubble(t, func(b *bench) {
		a, d := b.assignment("a", "one", nil), b.dependent("one", nil)
		b.set(a, d)
		b.next("deploy")
		b.next("deploy")
		a.State, a.Tombstone, a.Generation = fleet.Removed, &fleet.Tombstone{}, 2
		b.set(a, d)
		b.next("remove")
		synctest.Wait()
		if r := b.last(d.App); r.Ready.Status != fleet.True {
			b.Errorf("with no pass due it reports %+v", r)
		}
		d.RequestedAt, d.Generation = "now", 2
		b.set(a, d)
		b.waits(d.App, "dependency Kustomization/apps/a is not in this cluster")
		if r := b.last(d.App); r.HandledReconcileAt != "" || r.Stage != fleet.StageSettled {
			b.Errorf("it reports %+v", r)
		}
		d.State, d.Tombstone, d.Generation = fleet.Removed, &fleet.Tombstone{}, 3
		b.set(a, d)
		b.next("remove")
	})
}

func TestAppThatIsKeptWithoutTheHubsWordDoesNotWait(t *testing.T) {
	bubble(t, func(b *bench) {
		a, d := b.assignment("a", "one", nil), b.dependent("one", nil)
		b.set(a, d)
		b.next("deploy")
		b.next("deploy")
		synctest.Wait()
		d.Kept = true
		b.set(d)
		if c := b.next("deploy"); c.target.App != d.App || !c.target.Verify {
			b.Errorf("the hourly pass is %+v", c)
		}
	})
}

func TestSuspendedDependencyThatIsReadyCounts(t *testing.T) {
	bubble(t, func(b *bench) {
		a := b.assignment("a", "one", nil)
		b.set(a)
		b.next("deploy")
		synctest.Wait()
		a.Suspend, a.Generation = true, 2
		b.set(a)
		synctest.Wait()
		d := b.dependent("one", nil)
		b.set(a, d)
		b.next("deploy")
	})
}

func TestClocksStandStillWhileADependencyIsWaitedFor(t *testing.T) {
	bubble(t, func(b *bench) {
		a, d := b.assignment("a", "one", waited), b.dependent("one", waited) // of a minute's timeout
		b.sick(d.App)
		b.set(a, d)
		b.next("deploy")
		b.next("deploy")
		synctest.Wait()
		b.sick(a.App)
		b.pool.Changed(a.App)
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if r := b.last(d.App); r.Ready.Status != fleet.Unknown {
			b.Fatalf("in time it reports %+v", r)
		}
		a.Generation, d.Generation, d.RequestedAt = 2, 2, "now"
		b.engine.set(a.App, func(s *Status) { s.Healthy = condition(fleet.False, fleet.ReasonHealthCheckFailed, "broken") })
		b.pool.Changed(a.App)
		b.set(a, d)
		time.Sleep(30 * time.Minute)
		b.waits(d.App, "HealthCheckFailed")
		b.heal(a.App)
		b.next("deploy")
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if r := b.last(d.App); r.Ready.Status != fleet.Unknown || r.Stage != fleet.StageVerifying {
			b.Errorf("after the wait it reports %+v", r)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if r := b.last(d.App); r.Ready.Reason != fleet.ReasonHealthCheckFailed {
			b.Errorf("when its time is up it reports %+v", r)
		}
	})
}

func TestOutdatedWordOfADependencyDoesNotCount(t *testing.T) {
	t.Parallel()
	a := assigned(2, nil).Assignment
	digest := a.Release.Digest()
	ready := condition(fleet.True, fleet.ReasonSucceeded, "")
	good := fleet.Report{Generation: 2, Release: digest, Applied: digest, Ready: ready}
	for name, c := range map[string]struct {
		edit func(*fleet.Report)
		want string
	}{
		"ready":               {func(*fleet.Report) {}, ""},
		"nothing said yet":    {func(r *fleet.Report) { *r = fleet.Report{} }, "not looked at"},
		"an older generation": {func(r *fleet.Report) { r.Generation = 1 }, "not looked at"},
		"an older release":    {func(r *fleet.Report) { r.Release = fleet.Digest{1} }, "not looked at"},
		"not applied":         {func(r *fleet.Report) { r.Applied = fleet.Digest{1} }, "not applied"},
		"not ready yet":       {func(r *fleet.Report) { r.Ready = condition(fleet.Unknown, "Progressing", "") }, "Progressing"},
		"failed":              {func(r *fleet.Report) { r.Ready = condition(fleet.False, "BuildFailed", ""); r.Applied = fleet.Digest{} }, "BuildFailed"},
	} {
		report := good
		c.edit(&report)
		if why := (standing{a, report}).lacks(); !strings.Contains(why, c.want) || (why == "") != (c.want == "") {
			t.Errorf("%s: %q", name, why)
		}
	}
}

func TestReadyExprTakesThePlaceOfTheUsualCheck(t *testing.T) {
	t.Parallel()
	declared := func(version string) *fleet.Declared {
		return &fleet.Declared{Labels: map[string]string{"version": version}, Generation: 4, Observed: 4, Spec: json.RawMessage(`{"suspend":false,"interval":"1m"}`)}
	}
	other := here
	other.Name = "a"
	for name, c := range map[string]struct {
		text     string
		edit     func(self, dep *standing)
		reason   string
		message  string
		terminal bool
	}{
		"true though it is not ready": {text: "dep.metadata.labels['version'] == self.metadata.labels['version']"},
		"another version": {
			text:   "dep.metadata.labels['version'] == self.metadata.labels['version']",
			edit:   func(_, dep *standing) { dep.Declared = declared("2") },
			reason: fleet.ReasonDependency, message: "its readyExpr is not true",
		},
		"the status is there": {text: `dep.status.conditions.exists(c, c.type == 'Ready' && c.status == 'False' && c.reason == 'ReconciliationFailed') &&
			dep.status.observedGeneration == -1 + dep.metadata.generation && dep.kind == 'Kustomization' && dep.spec.interval == '1m' && self.metadata.name == 'app'`},
		"applied is observed": {
			text: "dep.status.observedGeneration == dep.metadata.generation",
			edit: func(_, dep *standing) { dep.report.Applied = dep.report.Release },
		},
		"a field that is not there": {text: "dep.status.nothing == 1", reason: fleet.ReasonDependency, message: "its readyExpr cannot be evaluated: no such key: nothing"},
		"no declaration": {
			text: "true", edit: func(_, dep *standing) { dep.Declared = nil },
			reason: fleet.ReasonDependency, message: "the hub has not sent the declaration of Kustomization/apps/a",
		},
		"not CEL": {text: "dep.", reason: fleet.ReasonInvalidExpression, message: "spec.dependsOn[0].readyExpr: ", terminal: true},
	} {
		t.Run(name, func(t *testing.T) {
			self, dep := standing{Assignment: assigned(1, nil).Assignment}, standing{Assignment: assigned(1, nil).Assignment}
			dep.App = other
			self.Declared, dep.Declared = declared("1"), declared("1")
			dep.report = fleet.Report{Generation: 1, Release: dep.Release.Digest(), Ready: condition(fleet.False, fleet.ReasonFailed, "x")}
			self.Release.DependsOn = []fleet.Dependency{on("a", c.text)}
			if c.edit != nil {
				c.edit(&self, &dep)
			}
			h := hindered(self, map[fleet.Key]standing{other: dep}, expr.NewReady)
			switch {
			case h == nil && c.reason == "":
			case h == nil || h.reason != c.reason || h.terminal != c.terminal || !strings.Contains(h.message, c.message):
				t.Errorf("it is %+v", h)
			}
		})
	}
}

func TestExpressionThatThisSpokeDoesNotUnderstandIsTerminal(t *testing.T) {
	bubble(t, func(b *bench) {
		a := b.assignment("a", "one", nil)
		d := b.dependent("one", func(d *Assigned) { d.Release.DependsOn[0].ReadyExpr = "dep.future()" })
		b.set(a, d)
		b.next("deploy")
		synctest.Wait()
		b.idle("it cannot be told when")
		if r := b.last(d.App); !r.Terminal || r.Stage != fleet.StageFailed || r.Ready.Reason != "InvalidCELExpression" || r.Waiting != fleet.WaitingNone {
			b.Errorf("reported %+v", r)
		}
	})
}

func TestReadyWaitsForHealthChecksAloneUnlessWaitIsSet(t *testing.T) {
	t.Parallel()
	good, waiting := condition(fleet.True, fleet.ReasonSucceeded, "fine"), condition(fleet.Unknown, fleet.ReasonProgressing, "Deployment/x/web: InProgress: 0 of 1")
	bad := condition(fleet.False, fleet.ReasonHealthCheckFailed, "Deployment/x/web: Failed: no")
	for name, c := range map[string]struct {
		checks, healthy  fleet.Condition
		wait, settled    bool
		unhealthy, since time.Duration // before now, of a minute's timeout
		stage            fleet.Stage
		ready            fleet.ConditionStatus
		message          string
		next             time.Duration
	}{
		"all is well":                       {checks: good, healthy: good, stage: fleet.StageSettled, ready: fleet.True},
		"only what is not checked is not":   {checks: good, healthy: waiting, unhealthy: 10 * time.Second, stage: fleet.StageVerifying, ready: fleet.True, next: 50 * time.Second},
		"what is checked is not yet":        {checks: waiting, healthy: waiting, stage: fleet.StageVerifying, ready: fleet.Unknown, message: "Waiting for health: Deployment/x/web", next: time.Minute},
		"it was before":                     {checks: waiting, healthy: waiting, settled: true, stage: fleet.StageVerifying, ready: fleet.True, next: time.Minute},
		"it has its own time":               {checks: waiting, healthy: waiting, unhealthy: 2 * time.Minute, since: 10 * time.Second, stage: fleet.StageFailed, ready: fleet.Unknown, next: 50 * time.Second},
		"its time is up":                    {checks: waiting, healthy: waiting, unhealthy: 2 * time.Minute, since: time.Minute, stage: fleet.StageFailed, ready: fleet.False, message: "not healthy within 1m0s: Deployment/x/web"},
		"it has failed":                     {checks: bad, healthy: bad, stage: fleet.StageFailed, ready: fleet.False, message: "Deployment/x/web: Failed"},
		"something else has failed":         {checks: good, healthy: bad, stage: fleet.StageFailed, ready: fleet.True},
		"wait is for all":                   {checks: fleet.Condition{}, healthy: bad, wait: true, stage: fleet.StageFailed, ready: fleet.False, message: "Deployment/x/web: Failed"},
		"another waits while this one does": {checks: waiting, healthy: bad, since: 20 * time.Second, stage: fleet.StageFailed, ready: fleet.Unknown, next: 40 * time.Second},
	} {
		a := assigned(1, func(a *Assigned) { a.Release.Wait = c.wait })
		v := view{
			want: a, status: Status{Applied: a.Release.Digest(), Healthy: c.healthy, Checks: c.checks, Failed: c.healthy.Status == fleet.False}, settled: c.settled,
			unhealthySince: t0.Add(-c.unhealthy), awaitedSince: t0.Add(-c.since), now: t0,
		}
		report, next := describe(v)
		if next.IsZero() {
			next = t0
		}
		if report.Stage != c.stage || report.Ready.Status != c.ready || !strings.Contains(report.Ready.Message, c.message) || next.Sub(t0) != c.next {
			t.Errorf("%s: %+v, next in %s", name, report, next.Sub(t0))
		}
	}
}

// A chain is carried out in order however its Assignments come.
func TestChainOfDependenciesIsCarriedOutInOrder(t *testing.T) {
	bubble(t, func(b *bench) {
		const n = 8
		var all []Assigned
		for i := range n {
			all = append(all, b.assignment(fmt.Sprint("c", i), "one", func(a *Assigned) {
				if i > 0 {
					a.Release.DependsOn = []fleet.Dependency{on(fmt.Sprint("c", i-1), "")}
				}
			}))
		}
		b.engine.on(func(context.Context, Target) error { time.Sleep(time.Second); return nil })
		begin := time.Now()
		b.set(all...)
		for i := range n {
			if got := b.next("deploy"); got.target.App.Name != fmt.Sprint("c", i) || got.at.Sub(begin) != time.Duration(i)*time.Second {
				b.Errorf("%d: %s after %s", i, got.target.App.Name, got.at.Sub(begin))
			}
		}
	})
}
