package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"flotilla.dev/flotilla/hub/cmd/fleetctl/config"
)

func TestPathFollowsTheEnvironment(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		env  map[string]string
		want string
	}{
		{map[string]string{"FLOTILLA_CONFIG": "x.yaml", "XDG_CONFIG_HOME": "/xdg", "HOME": "/home/me"}, "x.yaml"},
		{map[string]string{"XDG_CONFIG_HOME": "/xdg", "HOME": "/home/me"}, "/xdg/flotilla/config.yaml"},
		{map[string]string{"XDG_CONFIG_HOME": "relative", "HOME": "/home/me"}, "/home/me/.config/flotilla/config.yaml"}, // as the XDG specification says
		{map[string]string{"HOME": "/home/me"}, "/home/me/.config/flotilla/config.yaml"},
	} {
		got, err := config.Path(func(name string) string { return test.env[name] })
		if err != nil || got != test.want {
			t.Errorf("%v: %s, %v; want %s", test.env, got, err, test.want)
		}
	}
	if _, err := config.Path(func(string) string { return "" }); err == nil {
		t.Error("without a home there is a path")
	}
}

func TestConfigSurvivesItsFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "deep", "config.yaml")
	c, err := config.Load(path)
	if err != nil {
		t.Fatalf("a file that is not there: %v", err)
	}
	*c.Ensure("prod") = config.Context{Name: "prod", Hub: "a:1", CAPin: "ab", Namespace: "apps"}
	c.Ensure("test")
	if err := c.Save(path); err != nil {
		t.Fatal(err)
	}
	again, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if again.CurrentContext != "prod" || *again.Find("prod") != *c.Find("prod") || again.Find("nope") != nil {
		t.Errorf("read back %+v", again)
	}
	if !again.Remove("prod") || again.Remove("prod") || again.CurrentContext != "" {
		t.Errorf("after a removal: %+v", again)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("files beside it: %v, %v", left, err)
	}
}

func TestContextNameThatCouldLeaveItsFolderIsRefused(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", ".", "..", "a/b", "../a", ".hidden", "a b", strings.Repeat("a", 101)} {
		if config.CheckName(name) == nil {
			t.Errorf("%q is taken", name)
		}
	}
	path := filepath.Join(t.TempDir(), "config.yaml")
	text := "apiVersion: cli.flotilla.dev/v1alpha1\nkind: Config\ncontexts: [{name: ../../etc/passwd}]\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(path); err == nil {
		t.Error("it is taken from a file")
	}
}

func TestTokensAreKeptForTheOwnerAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := config.WriteToken(path, "prod", "secret"); err != nil {
		t.Fatal(err)
	}
	file := config.TokenPath(path, "prod")
	if got, err := config.ReadToken(file); err != nil || got != "secret" {
		t.Errorf("read %q, %v", got, err)
	}
	if err := config.CheckTokenMode(file); err != nil {
		t.Error(err)
	}
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := config.CheckTokenMode(file); !errors.Is(err, config.ErrTokenReadable) {
		t.Errorf("readable by others: %v", err)
	}
	for range 2 {
		if err := config.RemoveToken(path, "prod"); err != nil {
			t.Error(err)
		}
	}
	for content, what := range map[string]string{" \n": "nothing", "two words": "two words"} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := config.ReadToken(file); err == nil || strings.Contains(err.Error(), "two words") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
