package main

import (
	"strings"
	"testing"
)

func TestEveryWrongSettingIsReportedAtOnce(t *testing.T) {
	t.Parallel()
	_, err := parseSettings([]string{"-objects=10", "-rounds=0", "-edits=11", "-rest=0s", "-only=nothing", "-o=yaml"})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, flag := range []string{"-rounds", "-edits", "-rest", "-only", "-o"} {
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
