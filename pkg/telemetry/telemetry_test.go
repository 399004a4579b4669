package telemetry

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"runtime/debug"
	"strings"
	"testing"
)

func TestVersionIsTheLinkersElseTheModulesElseDevWithTheCommit(t *testing.T) {
	t.Parallel()
	commit := []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.modified", Value: "true"}}
	for _, c := range []struct {
		name, linked string
		info         *debug.BuildInfo
		want         string
	}{
		{"linked", "v1.2.3", &debug.BuildInfo{Settings: commit}, "v1.2.3"},
		{"module", "", &debug.BuildInfo{Main: debug.Module{Version: "v0.9.0"}}, "v0.9.0"},
		{"checkout", "", &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}, Settings: commit}, "dev-0123456789ab-dirty"},
		{"no commit", "", &debug.BuildInfo{}, "dev"},
		{"no information", "", nil, "dev"},
	} {
		if got := versionFrom(c.linked, c.info); got != c.want {
			t.Errorf("%s: version = %q, want %q", c.name, got, c.want)
		}
	}
}

func TestNewLoggerKeepsToItsLevelAndFormat(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log, err := NewLogger(&out, "warn", "json")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("looked")
	log.Warn("changed", KeyApp, "a")
	if got := out.String(); strings.Contains(got, "looked") || !strings.Contains(got, `"app":"a"`) {
		t.Errorf("log = %q, want the warning alone, as JSON", got)
	}
	for _, bad := range [][2]string{{"loud", "text"}, {"info", "xml"}} {
		if _, err := NewLogger(&out, bad[0], bad[1]); err == nil {
			t.Errorf("NewLogger(%q, %q) is accepted", bad[0], bad[1])
		}
	}
}

func TestHandlerServesTheBuildAndRuntimeMetrics(t *testing.T) {
	t.Parallel()
	response := httptest.NewRecorder()
	Handler(NewRegistry()).ServeHTTP(response, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, name := range []string{"flotilla_build_info", "go_goroutines", "process_resident_memory_bytes"} {
		if !strings.Contains(response.Body.String(), name) {
			t.Errorf("no metric %s", name)
		}
	}
}
