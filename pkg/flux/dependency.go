package flux

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Dependencies implements App: first spec.dependsOn, then what its annotations name beside that.
func (k Kustomization) Dependencies(namespace string, annotations map[string]string) []fleet.Dependency {
	return dependencies(KustomizationKind, k.DependsOn, namespace, annotations)
}

// Dependencies implements App, as a Kustomization does.
func (h HelmRelease) Dependencies(namespace string, annotations map[string]string) []fleet.Dependency {
	return dependencies(HelmReleaseKind, h.DependsOn, namespace, annotations)
}

func dependencies(kind string, refs []DependencyRef, namespace string, annotations map[string]string) []fleet.Dependency {
	var all []fleet.Dependency
	for _, d := range refs {
		dependency := fleet.Dependency{Kind: kind, Namespace: cmp.Or(d.Namespace, namespace), Name: d.Name, ReadyExpr: d.ReadyExpr}
		if !slices.Contains(all, dependency) {
			all = append(all, dependency)
		}
	}
	ordered, _ := ParseDependsOn(annotations[DependsOnAnnotation]) // was refused when it was declared
	for _, d := range ordered {
		if !slices.ContainsFunc(all, func(other fleet.Dependency) bool { return other.App(fleet.HubHome) == d.App(fleet.HubHome) }) {
			all = append(all, d)
		}
	}
	return all
}

// readyExprs are the expressions of dependencies, in their order.
func readyExprs(refs []DependencyRef) []string {
	exprs := make([]string, len(refs))
	for i, d := range refs {
		exprs[i] = d.ReadyExpr
	}
	return exprs
}

// dependencyKinds are the App kinds that may be depended on.
var dependencyKinds = []string{KustomizationKind, HelmReleaseKind}

// ParseDependsOn reads the value of DependsOnAnnotation: Kind/NAMESPACE/NAME, separated by commas.
func ParseDependsOn(text string) ([]fleet.Dependency, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	var all []fleet.Dependency
	for item := range strings.SplitSeq(text, ",") {
		item = strings.TrimSpace(item)
		parts := strings.Split(item, "/")
		if len(parts) != 3 || !slices.Contains(dependencyKinds, parts[0]) || parts[1] == "" || parts[2] == "" {
			return nil, fmt.Errorf("%q is not HelmRelease/NAMESPACE/NAME or Kustomization/NAMESPACE/NAME", item)
		}
		d := fleet.Dependency{Kind: parts[0], Namespace: parts[1], Name: parts[2]}
		if slices.Contains(all, d) {
			return nil, fmt.Errorf("%s is named twice", item)
		}
		all = append(all, d)
	}
	return all, nil
}
