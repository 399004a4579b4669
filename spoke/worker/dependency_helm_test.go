package worker

import (
	"testing"

	"flotilla.dev/flotilla/pkg/expr"
	"flotilla.dev/flotilla/pkg/fleet"
)

func TestExpressionsSeeAHelmReleaseAsFluxHasIt(t *testing.T) {
	t.Parallel()
	app := fleet.Key{Home: fleet.HubHome, Kind: "HelmRelease", Namespace: "infra", Name: "redis"}
	dep := standing{
		Assignment: fleet.Assignment{App: app, Declared: &fleet.Declared{Generation: 1, Spec: []byte(`{"interval":"1m"}`)}},
		report: fleet.Report{
			App: app, Ready: condition(fleet.True, "InstallSucceeded", "installed"),
			Detail: []byte(`{"released":{"status":"True","reason":"InstallSucceeded"},"history":[{"version":3,"chartVersion":"1.2.3"}],"failures":2}`),
		},
	}
	for text, want := range map[string]bool{
		`dep.apiVersion == "helm.toolkit.fluxcd.io/v2" && dep.kind == "HelmRelease"`:                true,
		`dep.status.history[0].chartVersion == "1.2.3" && dep.status.failures == 2`:                 true,
		`dep.status.conditions.exists(c, c.type == "Released" && c.reason == "InstallSucceeded")`:   true,
		`dep.status.conditions.exists(c, c.type == "Remediated") || has(dep.status.released)`:       false,
		`dep.status.conditions.filter(c, c.type == "Ready").all(c, c.reason == "InstallSucceeded")`: true,
		`dep.status.conditions.exists(c, c.type == "Ready" && c.status == "False")`:                 false,
	} {
		ready, err := expr.NewReady(text)
		if err != nil {
			t.Fatal(err)
		}
		why := judge(ready, dep, dep)
		if is := why == ""; is != want {
			t.Errorf("%s is %t (%s), want %t", text, is, why, want)
		}
	}
}

func TestAHelmReleaseWaitsForAKustomizationAndForAnotherHelmRelease(t *testing.T) {
	bubble(t, func(b *bench) {
		redis := fleet.Key{Home: fleet.HubHome, Kind: "HelmRelease", Namespace: "apps", Name: "redis"}
		base := b.assignment("base", "one", waited)
		other := b.assignment("redis", "one", func(a *Assigned) {
			a.App, a.Release.App, a.Release.Wait = redis, redis, true
		})
		web := b.assignment("web", "one", func(a *Assigned) {
			a.App.Kind, a.Release.App.Kind = "HelmRelease", "HelmRelease"
			a.Release.DependsOn = []fleet.Dependency{{Kind: "HelmRelease", Namespace: "apps", Name: "redis"}, on("base", "")}
		})
		b.sick(base.App)
		b.sick(redis)
		b.set(base, other, web)
		b.next("deploy")
		b.next("deploy")
		b.waits(web.App, "dependency HelmRelease/apps/redis is not ready: Progressing")
		b.heal(redis)
		b.waits(web.App, "dependency Kustomization/apps/base is not ready: Progressing")
		b.heal(base.App)
		if got := b.next("deploy").target.App; got != web.App {
			b.Errorf("%s was deployed", got.Name)
		}
	})
}
