package fleet

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// APIVersion of the fleet kinds.
const APIVersion = "fleet.flotilla.dev/v1alpha1"

// Placement is the spec of the fleet kind of that name: which clusters get which Apps of its namespace.
type Placement struct {
	// Apps of the Placement's namespace. An App is named by at most one Placement.
	Apps []AppRef `json:"apps"`
	// Clusters are the union of what selector and names give.
	Clusters ClusterChoice `json:"clusters"`
	// OnUnmatch says what becomes of an App's objects in a cluster that is no longer chosen: Orphan (default) or
	// Prune. With a RolloutPolicy the App is pruned in a tenth of its clusters at a time, and at least one, of those that are
	// connected and not held, and not while the fleet is frozen; without one, in all of them at once.
	OnUnmatch OnUnmatch `json:"onUnmatch,omitempty"`
	// RolloutPolicyRef names the policy by which new Releases go through the clusters; absent: to every cluster at once.
	RolloutPolicyRef *RolloutPolicyRef `json:"rolloutPolicyRef,omitempty"`
	// Tolerations let Apps onto clusters with Taints.
	Tolerations []Toleration `json:"tolerations,omitempty"`
	// Overrides change the objects of Apps in some of the clusters. All that concern an App in a cluster are applied, in
	// order.
	Overrides []Override `json:"overrides,omitempty"`
}

// RolloutPolicyRef names a RolloutPolicy.
type RolloutPolicyRef struct {
	Name string `json:"name"`
}

// Override is what some clusters have otherwise.
type Override struct {
	Clusters ClusterChoice `json:"clusters"`
	// Apps are some of the Placement's; none: all of them.
	Apps []AppRef `json:"apps,omitempty"`
	// Patches of objects, those that a HelmRelease's chart renders too.
	Patches []Patch `json:"patches,omitempty"`
	// Values are for HelmReleases.
	Values json.RawMessage `json:"values,omitempty"`
}

// concerns reports whether the override is for an App in the cluster of that name and labels.
func (o Override) concerns(app AppRef, cluster string, labels map[string]string) bool {
	return (len(o.Apps) == 0 || slices.Contains(o.Apps, app)) && o.Clusters.Matches(cluster, labels)
}

// PatchesFor are the patches for an App in the cluster of that name and labels, in the order in which they are applied.
func (p Placement) PatchesFor(app AppRef, cluster string, labels map[string]string) []Patch {
	var patches []Patch
	for _, o := range p.Overrides {
		if o.concerns(app, cluster, labels) {
			patches = append(patches, o.Patches...)
		}
	}
	return patches
}

// AppRef names an App of the same namespace.
type AppRef struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
}

// ClusterChoice chooses clusters. Neither field set is invalid; `selector: {}` is every cluster.
type ClusterChoice struct {
	Selector *Selector `json:"selector,omitempty"`
	Names    []string  `json:"names,omitempty"`
}

// OnUnmatch says what becomes of an App's objects where its Placement no longer puts it.
type OnUnmatch string

// The values of OnUnmatch; empty is UnmatchOrphan.
const (
	UnmatchOrphan OnUnmatch = "Orphan"
	UnmatchPrune  OnUnmatch = "Prune"
)

// Matches reports whether the choice takes in the cluster of that name and labels.
func (c ClusterChoice) Matches(name string, labels map[string]string) bool {
	return c.Matcher()(name, labels)
}

// Matcher is Matches for whoever asks of many.
func (c ClusterChoice) Matcher() func(name string, labels map[string]string) bool {
	selects := func(map[string]string) bool { return false }
	if c.Selector != nil {
		selects = c.Selector.Matcher()
	}
	return func(name string, labels map[string]string) bool {
		return slices.Contains(c.Names, name) || selects(labels)
	}
}

// EveryCluster reports whether the choice is every cluster there is or will be.
func (c ClusterChoice) EveryCluster() bool { return c.Selector != nil && c.Selector.IsEmpty() }

// Candidate is a cluster that a Placement may choose.
type Candidate struct {
	Name   string
	Labels map[string]string
	Taints []Taint
	// Terminating clusters are chosen by none.
	Terminating bool
}

// Placed is what a Placement comes to.
type Placed struct {
	// Matched are the names of the clusters it chooses and whose taints it tolerates, in the order of the candidates.
	Matched []string
	// Staying are those of clusters where its Apps stay if they are there, and where no other comes: a taint says so. Tainted
	// are all that it chooses and whose taints it does not tolerate.
	Staying, Tainted []string
	// MissingApps are those of its Apps that are not declared, MissingClusters names of clusters that are not registered.
	MissingApps     []AppRef
	MissingClusters []string
	// MissingPolicy is the RolloutPolicy that it names and that is not declared; empty: it is, or none is named.
	MissingPolicy string
}

// Place works out what p comes to among all the clusters, the declared Apps of its namespace and the declared
// RolloutPolicies.
func (p Placement) Place(clusters []Candidate, declared map[AppRef]bool, policies map[string]bool) Placed {
	placed := Placed{Matched: []string{}}
	known, chosen := map[string]bool{}, p.Clusters.Matcher()
	for _, c := range clusters {
		known[c.Name] = true
		switch {
		case c.Terminating || !chosen(c.Name, c.Labels):
		case p.Tolerates(c.Taints, false):
			placed.Matched = append(placed.Matched, c.Name)
		default:
			placed.Tainted = append(placed.Tainted, c.Name)
			if p.Tolerates(c.Taints, true) {
				placed.Staying = append(placed.Staying, c.Name)
			}
		}
	}
	if ref := p.RolloutPolicyRef; ref != nil && !policies[ref.Name] {
		placed.MissingPolicy = ref.Name
	}
	for _, app := range p.Apps {
		if !declared[app] {
			placed.MissingApps = append(placed.MissingApps, app)
		}
	}
	for _, name := range p.Clusters.Names {
		if !known[name] {
			placed.MissingClusters = append(placed.MissingClusters, name)
		}
	}
	return placed
}

// Ready is the status of the Placement's Ready condition.
func (p Placed) Ready() ConditionStatus {
	switch {
	case len(p.MissingApps) > 0 || len(p.MissingClusters) > 0 || p.MissingPolicy != "":
		return False
	case len(p.Matched) == 0:
		return Unknown
	}
	return True
}

// Validate returns the FieldErrors of p.
func (p Placement) Validate() error {
	var fields Fields
	if len(p.Apps) == 0 {
		fields.Refuse("spec.apps", "at least one App is required")
	}
	for i, app := range p.Apps {
		at := indexed("spec.apps", i)
		if app.Kind != "Kustomization" && app.Kind != HelmReleaseKind {
			fields.Refuse(at+".kind", "%q is not Kustomization or HelmRelease", app.Kind)
		}
		fields.Require(at+".name", app.Name)
		if slices.Index(p.Apps, app) < i {
			fields.Refuse(at, "%s/%s is named twice", app.Kind, app.Name)
		}
	}
	p.Clusters.validate(&fields, "spec.clusters")
	switch p.OnUnmatch {
	case "", UnmatchOrphan, UnmatchPrune:
	default:
		fields.Refuse("spec.onUnmatch", "%q is not Orphan or Prune", p.OnUnmatch)
	}
	if p.RolloutPolicyRef != nil {
		fields.Require("spec.rolloutPolicyRef.name", p.RolloutPolicyRef.Name)
	}
	for i, t := range p.Tolerations {
		t.validate(&fields, indexed("spec.tolerations", i))
	}
	p.validateOverrides(&fields)
	return fields.Err()
}

// maxPatches bounds the patches and values of a Placement together: they travel with every Assignment that they are for.
const maxPatches = 64 << 10

// validateOverrides leaves it to kustomize to say what a patch is.
func (p Placement) validateOverrides(fields *Fields) {
	size := 0
	for i, o := range p.Overrides {
		at := indexed("spec.overrides", i)
		o.Clusters.validate(fields, at+".clusters")
		for j, app := range o.Apps {
			if !slices.Contains(p.Apps, app) {
				fields.Refuse(indexed(at+".apps", j), "%s/%s is not one of spec.apps", app.Kind, app.Name)
			}
		}
		if len(o.Patches) == 0 && len(o.Values) == 0 {
			fields.Refuse(at, "patches or values are required")
		}
		size += p.validateValues(fields, at, o)
		for j, patch := range o.Patches {
			fields.Require(indexed(at+".patches", j)+".patch", strings.TrimSpace(patch.Patch))
			size += len(patch.Patch)
		}
	}
	if size > maxPatches {
		fields.Refuse("spec.overrides", "the patches and values have %d bytes together; %d are allowed", size, maxPatches)
	}
}

func (c ClusterChoice) validate(fields *Fields, at string) {
	if c.Selector == nil && len(c.Names) == 0 {
		fields.Refuse(at, "selector or names is required; `selector: {}` is every cluster")
	}
	if c.Selector != nil {
		c.Selector.validate(fields, at+".selector")
	}
}

func indexed(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }
