package main

import (
	"slices"
	"strings"
	"testing"
)

func TestDescribeOfARolloutShowsItsStatus(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	screen := b.ok("rollout", "status", "ro-7k2f", "--watch=false")
	document := b.ok("rollout", "status", "ro-7k2f", "--watch=false", "-o", "json")
	for _, args := range []string{"ro-7k2f", "ro/ro-7k2f", "rollout ro-7k2f", "rollouts/ro-7k2f", "rollout.fleet.flotilla.dev/ro-7k2f"} {
		args := append([]string{"describe"}, strings.Fields(args)...)
		want(t, strings.Join(args, " "), b.ok(args...).stdout, screen.stdout)
		want(t, strings.Join(args, " ")+" -o json", b.ok(append(args, "-o", "json")...).stdout, document.stdout)
	}
	b.fails(exitNotFound, []string{"ro-none", "try: fleetctl get rollouts -A"}, "describe", "ro-none")
	b.fails(exitUsage, []string{"describe one rollout at a time"}, "describe", "ro-7k2f", "ro-6aaa")
	b.fails(exitUsage, []string{"describe one rollout at a time"}, "describe", "rollout", "ro-7k2f", "ro-6aaa")
	b.fails(exitUsage, []string{`"rollout" names no rollout: its id does, such as ro-7k2f`, "try: fleetctl get rollouts -A"}, "describe", "rollout")
	b.fails(exitUsage, []string{`"ro/ks/app" is not the id of a rollout`}, "describe", "ro/ks/app")
}

func TestGetTakesTheIDsOfRolloutsAlone(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	for _, ids := range [][]string{{"ro-7k2f"}, {"ro-7k2f", "ro-6aaa"}} {
		want(t, strings.Join(ids, " "), b.ok(append([]string{"get"}, ids...)...).stdout, b.ok(append([]string{"get", "ro"}, ids...)...).stdout)
	}
	if id := parseJSON(t, b.ok("get", "ro-7k2f", "-o", "json").stdout)["id"]; id != "ro-7k2f" {
		t.Errorf("-o json has id %v", id)
	}
	b.fails(exitNotFound, []string{"ro-none"}, "get", "ro-none")
	b.fails(exitUsage, []string{`"ks/app" is not the id of a rollout`}, "get", "ro-7k2f", "ks/app")
}

func TestCompletionOfDescribeAndGetKnowsTheIDsOfRollouts(t *testing.T) {
	t.Parallel()
	b := newRolling(t)
	for _, args := range [][]string{{"describe", "ro-"}, {"describe", "rollout", ""}, {"get", "ro-"}} {
		lines := strings.Split(b.ok(append([]string{"__complete"}, args...)...).stdout, "\n")
		if !slices.Contains(lines, "ro-7k2f") {
			t.Errorf("%v completes to %q", args, lines)
		}
	}
}
