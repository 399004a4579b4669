package fleet_test

import (
	"fmt"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
)

func TestPlacementChoosesTheUnionOfSelectorAndNamesWithoutWhatIsTerminating(t *testing.T) {
	t.Parallel()
	app, other := fleet.AppRef{Kind: "Kustomization", Name: "app"}, fleet.AppRef{Kind: "Kustomization", Name: "other"}
	p := fleet.Placement{Apps: []fleet.AppRef{app, other}, Clusters: fleet.ClusterChoice{
		Selector: &fleet.Selector{MatchLabels: map[string]string{"tier": "prod"}}, Names: []string{"dev-1", "ending-2", "nowhere"},
	}}
	placed := p.Place([]fleet.Candidate{
		{Name: "dev-1"}, {Name: "dev-2"}, {Name: "ending-1", Labels: map[string]string{"tier": "prod"}, Terminating: true},
		{Name: "ending-2", Terminating: true}, {Name: "prod-1", Labels: map[string]string{"tier": "prod"}},
	}, map[fleet.AppRef]bool{app: true}, nil)
	if want := (fleet.Placed{Matched: []string{"dev-1", "prod-1"}, MissingApps: []fleet.AppRef{other}, MissingClusters: []string{"nowhere"}}); fmt.Sprint(placed) != fmt.Sprint(want) {
		t.Errorf("placed %v, want %v", placed, want)
	}
}

func TestPlacementIsReadyWhenItLacksNothingAndUnknownWhileItChoosesNoCluster(t *testing.T) {
	t.Parallel()
	for want, placed := range map[fleet.ConditionStatus]fleet.Placed{
		fleet.True:    {Matched: []string{"a"}},
		fleet.Unknown: {},
		fleet.False:   {Matched: []string{"a"}, MissingClusters: []string{"b"}},
	} {
		if got := placed.Ready(); got != want {
			t.Errorf("%+v is %s", placed, got)
		}
	}
}

func TestPlacementLeavesOutTaintedClustersAndLacksAPolicyThatIsNotDeclared(t *testing.T) {
	t.Parallel()
	p := fleet.Placement{
		Clusters: fleet.ClusterChoice{Selector: &fleet.Selector{}}, RolloutPolicyRef: &fleet.RolloutPolicyRef{Name: "prod"},
		Tolerations: []fleet.Toleration{{Key: "gpu", Operator: fleet.TolerateExists}},
	}
	clusters := []fleet.Candidate{
		{Name: "a"}, {Name: "b", Taints: []fleet.Taint{{Key: "gpu", Effect: fleet.NoSchedule}}},
		{Name: "c", Taints: []fleet.Taint{{Key: "old", Effect: fleet.NoSchedule}}}, {Name: "d", Taints: []fleet.Taint{{Key: "old", Effect: fleet.NoExecute}}},
	}
	placed := p.Place(clusters, nil, map[string]bool{"dev": true})
	want := fleet.Placed{Matched: []string{"a", "b"}, Staying: []string{"c"}, Tainted: []string{"c", "d"}, MissingPolicy: "prod"}
	if fmt.Sprint(placed) != fmt.Sprint(want) || placed.Ready() != fleet.False {
		t.Errorf("placed %+v, which is %s; want %+v", placed, placed.Ready(), want)
	}
	if placed = p.Place(clusters, nil, map[string]bool{"prod": true}); placed.MissingPolicy != "" || placed.Ready() != fleet.True {
		t.Errorf("with its policy placed %+v", placed)
	}
}

func TestNeitherSelectorNorNamesIsNoCluster(t *testing.T) {
	t.Parallel()
	if (fleet.ClusterChoice{}).Matches("a", nil) || (fleet.ClusterChoice{}).EveryCluster() {
		t.Error("nothing chosen is something")
	}
	every := fleet.ClusterChoice{Selector: &fleet.Selector{}}
	if !every.Matches("a", nil) || !every.EveryCluster() {
		t.Error("an empty selector is not every cluster")
	}
}
