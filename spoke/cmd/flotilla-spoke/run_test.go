package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"flotilla.dev/flotilla/spoke"
)

// complete parses arguments and environment as run does.
func complete(t *testing.T, environment map[string]string, args ...string) (*settings, error) {
	t.Helper()
	s := &settings{}
	flags := pflag.NewFlagSet("run", pflag.ContinueOnError)
	s.register(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return s, s.complete(flags, func(name string) string { return environment[name] }, io.Discard)
}

func TestFlagsWinOverTheEnvironment(t *testing.T) {
	t.Parallel()
	s, err := complete(t, map[string]string{"FLOTILLA_SPOKE_HUB": "env:1", "FLOTILLA_SPOKE_DATA_DIR": "/env", "FLOTILLA_SPOKE_CONCURRENCY": "7", "FLOTILLA_NAMESPACE": "of-fleetctl"}, "--hub", "flag:1")
	if err != nil || s.config.Hub != "flag:1" || s.config.DataDir != "/env" || s.config.Concurrency != 7 || s.config.Namespace != spoke.DefaultNamespace {
		t.Errorf("%+v, %v", s.config, err)
	}
}

func TestTokenMayComeFromAFile(t *testing.T) {
	t.Parallel()
	token := "fl1.t1." + strings.Repeat("a", 64) + "." + strings.Repeat("b", 64)
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := complete(t, nil, "--hub", "h:1", "--data-dir", "/d", "--token-file", path)
	if err != nil || s.config.Token != token {
		t.Errorf("token %q, %v", s.config.Token, err)
	}
	if _, err := complete(t, nil, "--hub", "h:1", "--data-dir", "/d", "--token-file", path, "--token", token); err == nil {
		t.Error("two tokens are accepted")
	}
}

func TestAllProblemsAreReportedAtOnce(t *testing.T) {
	t.Parallel()
	_, err := complete(t, map[string]string{"FLOTILLA_SPOKE_CONCURRENCY": "many"}, "--log-level", "loud", "--token-file", "/nowhere", "--hub", "x", "--namespace", "Not One", "--default-service-account", "a:b", "--helm-bytes", "1000")
	for _, want := range []string{"FLOTILLA_SPOKE_CONCURRENCY", "loud", "--token-file", "--hub", "--namespace", "--default-service-account", "--helm-bytes"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %s in %v", want, err)
		}
	}
}
