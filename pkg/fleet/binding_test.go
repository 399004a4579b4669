package fleet_test

import (
	"maps"
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
)

func TestAClusterHasItsNameAndLabelsAsVariablesAndItsOwnWin(t *testing.T) {
	t.Parallel()
	labels := map[string]string{"env": "prod", "topology.kubernetes.io/region": "eu", "a-b": "first", "a.b": "second", "A_B": "before both"}
	got := fleet.Cluster{Variables: map[string]string{"CLUSTER_LABEL_ENV": "mine", "PORT": "80"}}.VariablesIn("eu-1", labels)
	want := map[string]string{
		"CLUSTER_NAME": "eu-1", "CLUSTER_LABEL_ENV": "mine", "CLUSTER_LABEL_TOPOLOGY_KUBERNETES_IO_REGION": "eu",
		"CLUSTER_LABEL_A_B": "before both", "PORT": "80",
	}
	if !maps.Equal(got, want) {
		t.Errorf("variables %v, want %v", got, want)
	}
}

func TestVariablesOfAClusterAreRefusedByName(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{"A": true, "_a1": true, "1a": false, "a-b": false, "": false, "ä": false} {
		err := fleet.Cluster{Variables: map[string]string{name: "x"}}.Validate()
		if (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "spec.variables["+name+"]: is not the name") {
			t.Errorf("%q: error %v", name, err)
		}
	}
	large := fleet.Cluster{Variables: map[string]string{"A": strings.Repeat("x", 32<<10)}}
	if err := large.Validate(); err == nil || !strings.Contains(err.Error(), "spec.variables: names and values have 32769 bytes") {
		t.Errorf("error %v", err)
	}
}

func TestOverridesOfAClusterAndAppAddUpInOrder(t *testing.T) {
	t.Parallel()
	app, other := fleet.AppRef{Kind: "Kustomization", Name: "app"}, fleet.AppRef{Kind: "Kustomization", Name: "other"}
	p := fleet.Placement{Overrides: []fleet.Override{
		{Clusters: fleet.ClusterChoice{Names: []string{"a"}}, Patches: []fleet.Patch{{Patch: "1"}, {Patch: "2"}}},
		{Clusters: fleet.ClusterChoice{Names: []string{"b"}}, Patches: []fleet.Patch{{Patch: "3"}}},
		{Clusters: fleet.ClusterChoice{Selector: &fleet.Selector{}}, Apps: []fleet.AppRef{other}, Patches: []fleet.Patch{{Patch: "4"}}},
		{Clusters: fleet.ClusterChoice{Selector: &fleet.Selector{MatchLabels: map[string]string{"x": "y"}}}, Patches: []fleet.Patch{{Patch: "5"}}},
	}}
	for _, tc := range []struct {
		app     fleet.AppRef
		cluster string
		labels  map[string]string
		want    string
	}{
		{app, "a", nil, "12"}, {app, "b", nil, "3"}, {other, "a", map[string]string{"x": "y"}, "1245"}, {app, "c", nil, ""},
	} {
		got := ""
		for _, patch := range p.PatchesFor(tc.app, tc.cluster, tc.labels) {
			got += patch.Patch
		}
		if got != tc.want {
			t.Errorf("%s in %s: patches %q, want %q", tc.app.Name, tc.cluster, got, tc.want)
		}
	}
}

func TestOverridesAreRefusedByTheirFields(t *testing.T) {
	t.Parallel()
	app := fleet.AppRef{Kind: "Kustomization", Name: "app"}
	everywhere := fleet.ClusterChoice{Selector: &fleet.Selector{}}
	base := fleet.Placement{Apps: []fleet.AppRef{app}, Clusters: everywhere}
	for want, override := range map[string]fleet.Override{
		"spec.overrides[0].clusters: selector or names": {Patches: []fleet.Patch{{Patch: "x"}}},
		"spec.overrides[0]: patches or values are req":  {Clusters: everywhere},
		"spec.overrides[0].patches[0].patch: is req":    {Clusters: everywhere, Patches: []fleet.Patch{{Patch: " \n"}}},
		"spec.overrides[0].apps[0]: Kustomization/b":    {Clusters: everywhere, Apps: []fleet.AppRef{{Kind: "Kustomization", Name: "b"}}, Patches: []fleet.Patch{{Patch: "x"}}},
		"the patches and values have 65537 bytes":       {Clusters: everywhere, Patches: []fleet.Patch{{Patch: strings.Repeat("x", 64<<10+1)}}},
		"clusters.selector.matchExpressions[0].oper": {
			Clusters: fleet.ClusterChoice{Selector: &fleet.Selector{MatchExpressions: []fleet.SelectorRequirement{{Key: "a", Operator: "is"}}}},
			Patches:  []fleet.Patch{{Patch: "x"}}},
	} {
		p := base
		p.Overrides = []fleet.Override{override}
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	base.Overrides = []fleet.Override{{Clusters: everywhere, Apps: []fleet.AppRef{app}, Patches: []fleet.Patch{{Patch: "x"}}}}
	if err := base.Validate(); err != nil {
		t.Error(err)
	}
}

func TestARunIsItsReleaseUntilTheClusterAddsSomething(t *testing.T) {
	t.Parallel()
	a := fleet.Assignment{Release: fleet.Release{App: fleet.Key{Name: "a"}}}
	if a.RunDigest() != a.Release.Digest() {
		t.Error("an empty binding makes another run")
	}
	b := a
	b.Binding.Variables = map[string]string{"A": "1"}
	c := b
	c.Binding = fleet.Binding{Variables: map[string]string{"A": "2"}}
	if b.RunDigest() == a.RunDigest() || b.RunDigest() == c.RunDigest() || b.RunDigest() == a.Release.Digest() {
		t.Error("runs with other bindings are the same")
	}
}
