package flux_test

import (
	"slices"
	"strings"
	"testing"
	"time"

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

func TestADependencyNamedTwiceIsOne(t *testing.T) {
	t.Parallel()
	const apart = "spec.dependsOn[1]: a is named twice, with another readyExpr"
	for _, test := range []struct {
		second flux.DependencyRef
		count  int
		want   string
	}{
		{flux.DependencyRef{Name: "a"}, 1, ""},
		{flux.DependencyRef{Name: "a", Namespace: "apps"}, 1, ""},
		{flux.DependencyRef{Name: "a", Namespace: "other"}, 2, ""},
		{flux.DependencyRef{Name: "a", ReadyExpr: "true"}, 2, apart},
	} {
		prune := true
		spec := flux.Kustomization{Interval: duration(time.Minute), Prune: &prune, SourceRef: flux.SourceRef{Kind: "GitRepository", Name: "app"},
			DependsOn: []flux.DependencyRef{{Name: "a"}, test.second}}
		if got := len(spec.Dependencies("apps", nil)); got != test.count {
			t.Errorf("%+v: %d dependencies", test.second, got)
		}
		if err := spec.Validate("apps"); test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%+v: error %v, want %q", test.second, err, test.want)
		}
	}
}

func TestAPathIsRefusedOnlyWhereItLeavesTheSource(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"": "", "./": "", "/": "", "./a/../b": "b", "a/b/../../c/": "c", "/a/..": "", "..a": "..a",
		"..": "refused", "../x": "refused", "./a/../../x": "refused", "/../x": "refused", "a/../..": "refused",
	} {
		prune := true
		spec := flux.Kustomization{Interval: duration(time.Minute), Prune: &prune, Path: path, SourceRef: flux.SourceRef{Kind: "GitRepository", Name: "app"}}
		switch err := spec.Validate("apps"); {
		case want == "refused" && (err == nil || !strings.Contains(err.Error(), "leaves the source")):
			t.Errorf("%q: error %v", path, err)
		case want != "refused" && (err != nil || spec.GetPath() != want):
			t.Errorf("%q: error %v, it is %q", path, err, spec.GetPath())
		}
	}
}

func TestAHelmReleaseDependsOnOthersAndByTheAnnotationOnAppsOfEitherKind(t *testing.T) {
	t.Parallel()
	spec := flux.HelmRelease{}
	spec.DependsOn = []flux.DependencyRef{{Name: "redis"}, {Name: "crds", Namespace: "infra"}}
	got := spec.Dependencies("apps", map[string]string{flux.DependsOnAnnotation: "Kustomization/infra/base, HelmRelease/apps/redis"})
	want := []fleet.Dependency{{Kind: "HelmRelease", Namespace: "apps", Name: "redis"}, {Kind: "HelmRelease", Namespace: "infra", Name: "crds"}, {Kind: "Kustomization", Namespace: "infra", Name: "base"}}
	if !slices.Equal(got, want) {
		t.Errorf("it depends on %+v, want %+v", got, want)
	}
}
