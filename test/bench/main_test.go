package main

import (
	"strings"
	"testing"
)

func TestEveryWrongSettingIsReportedAtOnce(t *testing.T) {
	t.Parallel()
	_, err := parseSettings([]string{"-objects=10", "-foreign=-1", "-releases=0", "-spokes=2", "-clusters=1", "-assignments=-1", "-rounds=0", "-commits=0", "-edits=0", "-rest=0s", "-kind=Pod", "-only=nothing", "-o=yaml"})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, flag := range []string{"-foreign", "-releases", "-spokes", "-clusters", "-assignments", "-rounds", "-commits", "-edits", "-rest", "-kind", "-only", "-o"} {
		if !strings.Contains(err.Error(), flag+" is ") {
			t.Errorf("%q does not tell of %s", err, flag)
		}
	}
	if strings.Contains(err.Error(), "-objects is ") {
		t.Errorf("%q tells of -objects, which is right", err)
	}
}

func TestDefaultSettingsAreValid(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"-objects=10"}, {"-spokes=3", "-clusters=3", "-assignments=6"}} {
		if _, err := parseSettings(args); err != nil {
			t.Errorf("%v: %v", args, err)
		}
	}
}

func TestABenchmarkIsOfReleasesOrOfRolloutsOrOfObjects(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"":                          "ConfigMap Deployment HelmRelease Rollout",
		"-kind=HelmRelease":         "HelmRelease",
		"-only=releases":            "HelmRelease",
		"-kind=Rollout":             "Rollout",
		"-only=rollout":             "Rollout",
		"-only=rest":                "ConfigMap Deployment",
		"-kind=ConfigMap -only=all": "ConfigMap",
	} {
		s, err := parseSettings(strings.Fields(args))
		if err != nil {
			t.Fatal(err)
		}
		var measured []string
		for _, kind := range shapeNames() {
			if s.measures(kind) {
				measured = append(measured, kind)
			}
		}
		if got := strings.Join(measured, " "); got != want {
			t.Errorf("%q measures %s, want %s", args, got, want)
		}
	}
	for _, args := range []string{"-kind=HelmRelease -only=rest", "-kind=ConfigMap -only=releases", "-kind=Rollout -only=releases", "-kind=Deployment -only=rollout"} {
		if _, err := parseSettings(strings.Fields(args)); err == nil || !strings.Contains(err.Error(), "HelmRelease") {
			t.Errorf("%q: error %v", args, err)
		}
	}
}
