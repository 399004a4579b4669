package sdk_test

import (
	"testing"
	"time"

	"helm.sh/helm/v4/pkg/chart/common"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	release "helm.sh/helm/v4/pkg/release/v1"
)

// fixture is a version of a release with all that its digest is about.
func fixture(t *testing.T) *release.Release {
	t.Helper()
	values, err := common.ReadValues([]byte(goldenValues))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_901_234, time.UTC)
	return &release.Release{
		Name: "podinfo", Namespace: "apps", Version: 7, Manifest: "---\n# Source: podinfo/templates/it.yaml\nkind: ConfigMap\n", ApplyMethod: "ssa",
		Labels: map[string]string{"owner": "x"}, Config: values,
		Info: &release.Info{FirstDeployed: at, LastDeployed: at.Add(time.Hour), Status: "deployed", Description: "Upgrade complete", Notes: "Have <fun> & more.\n", RollbackRevision: 3},
		Chart: &chart.Chart{Metadata: &chart.Metadata{
			Name: "podinfo", Version: "6.5.0+0123456789ab", AppVersion: "6.5.0", APIVersion: "v2", Type: "application", Description: "a & b",
			Keywords: []string{"k"}, Maintainers: []*chart.Maintainer{{Name: "m", Email: "m@example.com"}}, KubeVersion: ">=1.23.0-0",
			Dependencies: []*chart.Dependency{{Name: "redis", Version: "1.x", Repository: "https://example.com", Condition: "redis.enabled"}}, Annotations: map[string]string{"a": "b"},
		}, Values: map[string]any{"not": "told"}},
		Hooks: []*release.Hook{
			{Name: "migrate", Kind: "Job", Path: "podinfo/templates/hook.yaml", Manifest: "kind: Job\n", Events: []release.HookEvent{release.HookPreUpgrade}, Weight: -5,
				DeletePolicies: []release.HookDeletePolicy{release.HookSucceeded}, LastRun: release.HookExecution{StartedAt: at, CompletedAt: at.Add(time.Second), Phase: release.HookPhaseSucceeded}},
			{Name: "check", Kind: "Pod", Path: "podinfo/templates/test.yaml", Manifest: "kind: Pod\n", Events: []release.HookEvent{release.HookTest},
				LastRun: release.HookExecution{StartedAt: at, CompletedAt: at.Add(time.Second), Phase: release.HookPhaseFailed}},
		},
	}
}

const goldenValues = `
zeta: 1
alpha: {b: [1, 2.5, "3", {y: true, x: null}], a: "text: with <signs> & more"}
large: 12345678901
small: 0.000001
exponent: 1e21
no: "no"
multi: |
  line one
  line two
empty: {}
none: []
`
