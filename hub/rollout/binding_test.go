package rollout_test

import (
	"maps"
	"testing"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

// substituting is running with an App that has postBuild.
func substituting() rollout.State {
	s := running("")
	release := releaseOf("one")
	release.PostBuild = &fleet.PostBuild{}
	s.App.Release = &release
	return follow(s, rollout.Next(s))
}

func TestAClustersVariablesGoToAppsWithPostBuildOnly(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]rollout.State{"without": running(""), "with": substituting()} {
		if step := rollout.Next(s); !step.Empty() {
			t.Fatalf("%s: step %+v", name, step)
		}
		s.Clusters[0].Labels = map[string]string{"env": "prod"}
		s.Clusters[0].Spec.Variables = map[string]string{"PORT": "80"}
		step := rollout.Next(s)
		if name == "without" {
			if !step.Empty() {
				t.Errorf("an App without postBuild is touched: %+v", step)
			}
			continue
		}
		put, wrote := step.Put["id-a"]
		want := map[string]string{"CLUSTER_NAME": "a", "CLUSTER_LABEL_ENV": "prod", "PORT": "80"}
		if !wrote || len(step.Put) != 1 || !maps.Equal(put.Assignment.Binding.Variables, want) {
			t.Errorf("step %+v, want cluster a with %v", step, want)
		}
		if put.Assignment.Pin != s.Generation {
			t.Errorf("pin %d, want that of the step, %d: what the cluster runs is another thing", put.Assignment.Pin, s.Generation)
		}
	}
}

func TestAPlacementsPatchesGoToTheClustersTheyAreFor(t *testing.T) {
	t.Parallel()
	s := running("")
	s.Placement.Overrides = []fleet.Override{
		{Clusters: fleet.ClusterChoice{Names: []string{"b"}}, Patches: []fleet.Patch{{Patch: "p"}}},
	}
	step := rollout.Next(s)
	put, wrote := step.Put["id-b"]
	if !wrote || len(step.Put) != 1 || len(put.Assignment.Binding.Patches) != 1 || put.Assignment.Pin != s.Generation {
		t.Fatalf("step %+v, want the patch in cluster b", step)
	}
	s = follow(s, step)
	if step := rollout.Next(s); !step.Empty() {
		t.Errorf("step %+v after it was written", step)
	}
	s.App.Controls.Suspend = true
	if put := rollout.Next(s).Put["id-b"]; put.Assignment.Pin == s.Generation || len(put.Assignment.Binding.Patches) != 1 {
		t.Errorf("a control moves the pin, or drops the patch: %+v", put)
	}
}

func TestATombstoneKeepsWhatTheClusterHad(t *testing.T) {
	t.Parallel()
	s := substituting()
	s.Placement.Clusters.Names = []string{"a"}
	s.Former["place"] = *s.Placement
	put, wrote := rollout.Next(s).Put["id-b"]
	if !wrote || put.Assignment.State != fleet.Removed || put.Assignment.Binding.Variables["CLUSTER_NAME"] != "b" {
		t.Errorf("put %+v", put)
	}
}

func TestAPlacementsValuesAndAClustersVariablesGoToHelmReleasesThatTakeThem(t *testing.T) {
	t.Parallel()
	s := running("")
	s.Key.Kind = "HelmRelease"
	s.Placement.Apps = []fleet.AppRef{{Kind: s.Key.Kind, Name: s.Key.Name}}
	release := releaseOf("one")
	release.App = s.Key
	s.App.Release = &release
	s = follow(s, rollout.Next(s))
	s.Clusters[0].Spec.Variables = map[string]string{"PORT": "80"}
	s.Placement.Overrides = []fleet.Override{{Clusters: fleet.ClusterChoice{Names: []string{"b"}}, Values: []byte(`{"a": 1}`)}}
	step := rollout.Next(s)
	if put, wrote := step.Put["id-b"]; !wrote || len(step.Put) != 1 || string(put.Assignment.Binding.Values) != `{"a":1}` || put.Assignment.Pin != s.Generation {
		t.Fatalf("step %+v, want the values in cluster b", step)
	}
	s = follow(s, step)
	if step := rollout.Next(s); !step.Empty() {
		t.Errorf("step %+v after it was written", step)
	}
	release.SubstituteValues = true
	s.App.Release = &release
	if put := rollout.Next(s).Put["id-a"]; put.Assignment.Binding.Variables["PORT"] != "80" {
		t.Errorf("put %+v, want the variables", put)
	}
}
