package sdk_test

import (
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/helm/job"
)

func TestWaitIsByTheExpressionsOfTheSpec(t *testing.T) {
	b := newBundle(t)
	b.job.Plan.Spec.HealthCheckExprs = []fleet.HealthCheckExpr{{APIVersion: "v1", Kind: "ConfigMap", Current: "data.a == 'good'", Failed: "data.a == 'bad'"}}
	b.values(`{"a": "good"}`)
	b.done(job.Install)
	b.values(`{"a": "bad"}`)
	b.fails(job.Upgrade, "ConfigMap/"+b.namespace+"/it is Failed: by healthCheckExprs failed") // at once
	b.values(`{"a": "neither"}`)
	b.job.Controls.Upgrade = time.Second
	b.fails(job.Upgrade, "it is InProgress", "longer than 1s")
	// Helm's own waiter knows no expressions.
	b.job.Plan.Spec.WaitStrategy = &flux.HelmWaitStrategy{Name: "legacy"}
	b.done(job.Upgrade)
}

func TestWaitStrategies(t *testing.T) {
	for _, strategy := range []string{"", "poller", "legacy"} {
		t.Run("strategy "+strategy, func(t *testing.T) {
			b := newBundle(t)
			if strategy != "" {
				b.job.Plan.Spec.WaitStrategy = &flux.HelmWaitStrategy{Name: strategy}
			}
			b.chart("1.0.0", map[string]string{"templates/web.yaml": deployment("web", "")})
			b.done(job.Install)
			b.chart("2.0.0", map[string]string{"templates/web.yaml": deployment("web", "demo/fail: image")})
			b.job.Controls.Upgrade = 3 * time.Second
			if f := b.fails(job.Upgrade); !f.Began {
				t.Errorf("it is %+v", f)
			}
		})
	}
}

func TestNobodyWaitsForADeploymentThatIsPausedAndAJobThatGoesByItself(t *testing.T) {
	b := newBundle(t)
	b.chart("1.0.0", map[string]string{
		"templates/web.yaml": deployment("web", "demo/fail: image") + "  paused: true\n",
		"templates/batch.yaml": "apiVersion: batch/v1\nkind: Job\nmetadata: {name: batch}\nspec:\n  ttlSecondsAfterFinished: 0\n" +
			"  template: {spec: {restartPolicy: Never, containers: [{name: a, image: a}]}}\n",
	})
	b.done(job.Install)
}

// Helm's own waiter knows nothing of an object's conditions.
func TestWaitStrategyIsWhoseEyeIsOnTheObjects(t *testing.T) {
	b := newBundle(t)
	defer b.undefine()
	b.chart("1.0.0", map[string]string{
		"crds/widget.yaml":      b.definition("a"),
		"templates/widget.yaml": b.widget("w", "") + "status: {conditions: [{type: Ready, status: 'False'}]}\n",
	})
	b.job.Controls.Install = 2 * time.Second
	for _, strategy := range []*flux.HelmWaitStrategy{nil, {Name: "poller"}} {
		b.job.Plan.Spec.WaitStrategy = strategy
		b.fails(job.Install, "Widget/"+b.namespace+"/w is InProgress")
		b.done(job.Uninstall)
	}
	b.job.Plan.Spec.WaitStrategy = &flux.HelmWaitStrategy{Name: "legacy"}
	b.done(job.Install)
}

// A kind that a release defines outside of crds/ is known to its hooks only where what the API server serves is asked for
// anew.
func TestPersistentClientRemembersWhatIsServed(t *testing.T) {
	no, yes := false, true
	for name, persistent := range map[string]*bool{"by default": nil, "persistent": &yes, "not": &no} {
		t.Run(name, func(t *testing.T) { // a definition takes its time to go
			b := newBundle(t)
			defer b.undefine()
			b.chart("1.0.0", map[string]string{"templates/definition.yaml": b.definition("a"), "templates/hook.yaml": b.widget("w", hookOf("post-install"))})
			b.job.Plan.Spec.PersistentClient = persistent
			if persistent == &no {
				b.done(job.Install)
				return
			}
			b.fails(job.Install, `no matches for kind "Widget"`)
		})
	}
}
