package flux

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Dependencies are what an App declared in namespace depends on: first spec.dependsOn, then what its annotations name
// beside that.
func (k Kustomization) Dependencies(namespace string, annotations map[string]string) []fleet.Dependency {
	var all []fleet.Dependency
	for _, d := range k.DependsOn {
		dependency := fleet.Dependency{Kind: "Kustomization", Namespace: cmp.Or(d.Namespace, namespace), Name: d.Name, ReadyExpr: d.ReadyExpr}
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

// dependencyKinds are the App kinds that may be depended on.
var dependencyKinds = []string{"Kustomization", "HelmRelease"}

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

// WaitsFor reports whether the hub keeps a new Release of k, declared in namespace, back until that dependency, declared
// as on, is built at the Source's Revision: both are of one Source. One with a readyExpr is the spoke's alone to judge, as
// in Flux.
func (k Kustomization) WaitsFor(namespace string, d fleet.Dependency, on Kustomization) bool {
	return d.ReadyExpr == "" && k.SourceRef.In(namespace) == on.SourceRef.In(d.Namespace)
}
