package flux_test

import (
	"slices"
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

func TestDependenciesAreThoseOfTheSpecAndOfTheAnnotation(t *testing.T) {
	t.Parallel()
	spec := flux.Kustomization{DependsOn: []flux.DependencyRef{{Name: "a"}, {Name: "b", Namespace: "infra", ReadyExpr: "true"}}}
	annotations := map[string]string{flux.DependsOnAnnotation: "HelmRelease/infra/redis, Kustomization/infra/b,Kustomization/infra/c"}
	got := spec.Dependencies("apps", annotations)
	want := []fleet.Dependency{
		{Kind: "Kustomization", Namespace: "apps", Name: "a"}, {Kind: "Kustomization", Namespace: "infra", Name: "b", ReadyExpr: "true"},
		{Kind: "HelmRelease", Namespace: "infra", Name: "redis"}, {Kind: "Kustomization", Namespace: "infra", Name: "c"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("they are %+v", got)
	}
	if got := (flux.Kustomization{}).Dependencies("apps", nil); got != nil {
		t.Errorf("of none they are %+v", got)
	}
}

func TestDependsOnAnnotationThatMakesNoSenseIsRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"redis":                                 `"redis" is not HelmRelease/NAMESPACE/NAME or Kustomization/NAMESPACE/NAME`,
		"HelmRelease/redis":                     `"HelmRelease/redis" is not`,
		"HelmRelease//redis":                    `"HelmRelease//redis" is not`,
		"GitRepository/a/b":                     `"GitRepository/a/b" is not`,
		"HelmRelease/a/b,":                      `"" is not`,
		"HelmRelease/a/b/c":                     `"HelmRelease/a/b/c" is not`,
		"HelmRelease/a/b, HelmRelease/a/b":      "HelmRelease/a/b is named twice",
		"HelmRelease/a/b, Kustomization/a/b":    "",
		"  ":                                    "",
		" HelmRelease/a/b ,Kustomization/b/c  ": "",
	} {
		_, err := flux.ParseDependsOn(text)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
