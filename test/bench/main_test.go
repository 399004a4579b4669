package main

import (
	"strings"
	"testing"
)

func TestEveryWrongSettingIsReportedAtOnce(t *testing.T) {
	t.Parallel()
	_, err := parseSettings([]string{"-objects=10", "-foreign=-1", "-rounds=0", "-commits=0", "-edits=0", "-rest=0s", "-kind=Pod", "-only=nothing", "-o=yaml"})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, flag := range []string{"-foreign", "-rounds", "-commits", "-edits", "-rest", "-kind", "-only", "-o"} {
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
	for _, args := range [][]string{nil, {"-objects=10"}} {
		if _, err := parseSettings(args); err != nil {
			t.Errorf("%v: %v", args, err)
		}
	}
}
