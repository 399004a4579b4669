package hub

import (
	"errors"
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/render"
)

func TestTroubleWithBuildsSaysWhich(t *testing.T) {
	t.Parallel()
	for want, health := range map[string]render.Health{
		"": {Waiting: 3, Longest: 3 * time.Minute},
		"3 wait for a worker, the first for 5m0s": {Waiting: 3, Longest: 5 * time.Minute},
		"no worker process starts":                {Waiting: 3, Longest: 3 * time.Minute, Err: errors.New("canary")},
	} {
		got := troubleWith(health)
		if (want == "") != (got == "") || !strings.Contains(got, want) || strings.Contains(got, "canary") {
			t.Errorf("%+v: %q, want %q", health, got, want)
		}
	}
}
