package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"flotilla.dev/flotilla/hub/cmd/fleetctl/config"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

const pin = "3f9c1a2b3f9c1a2b3f9c1a2b3f9c1a2b3f9c1a2b3f9c1a2b3f9c1a2b3f9c1a2b"

func TestContextsAreMadeChangedUsedAndForgotten(t *testing.T) {
	t.Parallel()
	b := newBareBundle(t)
	b.stdin = "secret-token\n"
	b.ok("config", "set-context", "prod", "--hub", "fleet.example.com:9443", "--ca-pin", pin, "-n", "apps", "--token-stdin")
	b.ok("config", "set-context", "test", "--hub", "test.example.com:9443", "--token-file", b.write("token", "other-token"))
	want(t, "get-contexts", b.ok("config", "get-contexts").stdout, `
CURRENT   NAME   HUB                      NAMESPACE   TOKEN
*         prod   fleet.example.com:9443   apps        kept
-         test   test.example.com:9443    -           kept`)
	path := filepath.Join(b.dir, "flotilla")
	for file, mode := range map[string]os.FileMode{"config.yaml": 0o600, "tokens/prod": 0o600, "tokens": 0o700} {
		info, err := os.Stat(filepath.Join(path, file))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", file, info.Mode(), err)
		}
	}
	r := b.ok("config", "view")
	want(t, "view", r.stdout, `
apiVersion: cli.flotilla.dev/v1alpha1
contexts:
- caPin: `+pin+`
  hub: fleet.example.com:9443
  name: prod
  namespace: apps
- hub: test.example.com:9443
  name: test
currentContext: prod
kind: Config`)
	if strings.Contains(r.stdout+r.stderr, "secret-token") {
		t.Error("view prints a token")
	}
	b.ok("config", "set-context", "prod", "--namespace", "other")
	b.env["FLOTILLA_NAMESPACE"], b.env["FLOTILLA_HUB"] = "env", "env:1" // describe a call, not a context
	b.ok("config", "set-context", "prod")
	b.env["FLOTILLA_NAMESPACE"], b.env["FLOTILLA_HUB"] = "", ""
	b.ok("config", "use-context", "test")
	wantTexts(t, "view", b.ok("config", "view").stdout, "namespace: other", "hub: fleet.example.com:9443", "currentContext: test")
	b.ok("config", "delete-context", "prod")
	want(t, "names", b.ok("config", "get-contexts", "-o", "name").stdout, "test")
	if _, err := os.Stat(filepath.Join(path, "tokens/prod")); !os.IsNotExist(err) {
		t.Errorf("the token is still there: %v", err)
	}
	b.fails(exitNotFound, []string{"there is no context prod"}, "config", "use-context", "prod")
	b.fails(exitNotFound, []string{"there is no context prod"}, "config", "delete-context", "prod")
}

func TestContextThatMakesNoSenseIsRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ args, stdin, want string }{
		{"../evil --hub a:1", "", "is not a context name"},
		{"prod --hub a:1 --ca-pin 1234", "", "the CA pin is not 64 hex digits"},
		{"prod --hub a:1 --token-stdin", "two words", "does not hold one token"},
		{"prod --hub a:1 --token-stdin", "", "does not hold one token"},
		{"prod --token-stdin --token-file x", "s3cret", "do not go together"},
		{"prod --token-file nope", "", "nope"},
	} {
		b := newBareBundle(t)
		b.stdin = test.stdin
		r := b.fails(exitUsage, []string{test.want}, append([]string{"config", "set-context"}, strings.Fields(test.args)...)...)
		if test.stdin != "" && strings.Contains(r.stderr, test.stdin) {
			t.Errorf("stderr shows what was on stdin:\n%s", r.stderr)
		}
		if _, err := os.Stat(filepath.Join(b.dir, "flotilla", "config.yaml")); !os.IsNotExist(err) {
			t.Errorf("%s: a configuration was written: %v", test.args, err)
		}
	}
}

// Rule: flag before environment before context before default.
func TestSettingsPrecedence(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		env    map[string]string
		args   []string
		target target
		// namespace that a List asks for.
		namespace string
	}{
		{"context", nil, nil, target{address: "hub.example.com:9443", token: "test-token"}, "apps"},
		{"context by flag", map[string]string{"FLOTILLA_CONTEXT": "test"}, []string{"--context", "other"}, target{address: "other.example.com:9443", token: "other-token"}, "flux-system"},
		{"context by environment", map[string]string{"FLOTILLA_CONTEXT": "other"}, nil, target{address: "other.example.com:9443", token: "other-token"}, "flux-system"},
		{"hub by flag", map[string]string{"FLOTILLA_HUB": "env:1"}, []string{"--hub", "flag:1"}, target{address: "flag:1", token: "test-token"}, "apps"},
		{"hub by environment", map[string]string{"FLOTILLA_HUB": "env:1"}, nil, target{address: "env:1", token: "test-token"}, "apps"},
		{"namespace by flag", map[string]string{"FLOTILLA_NAMESPACE": "env"}, []string{"-n", "flag"}, target{address: "hub.example.com:9443", token: "test-token"}, "flag"},
		{"namespace by environment", map[string]string{"FLOTILLA_NAMESPACE": "env"}, nil, target{address: "hub.example.com:9443", token: "test-token"}, "env"},
		{"token file by environment", map[string]string{"FLOTILLA_TOKEN_FILE": "TOKEN"}, nil, target{address: "hub.example.com:9443", token: "file-token"}, "apps"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newFleet(t)
			token := b.write("token", "file-token\n")
			for key, value := range test.env {
				b.env[key] = strings.Replace(value, "TOKEN", token, 1)
			}
			b.ok(append([]string{"get", "ks"}, test.args...)...)
			if got := b.dialed[0]; got != test.target {
				t.Errorf("dialed %+v, want %+v", got, test.target)
			}
			if got := requestsOf[*adminv1.ListRequest](b.hub)[0].GetNamespace(); got != test.namespace {
				t.Errorf("namespace %q, want %q", got, test.namespace)
			}
		})
	}
}

func TestEnvironmentSetsEveryGlobalFlag(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	b.env["FLOTILLA_OUTPUT"] = "json"
	parseJSON(t, b.ok("get", "ks").stdout)
	b.ok("config", "use-context", "test") // has no -o: the environment's is passed over
	b.env["FLOTILLA_OUTPUT"] = ""
	b.env["FLOTILLA_QUIET"] = "true"
	want(t, "stderr", b.ok("reconcile", "ks/app").stderr, "")
	b.env["FLOTILLA_TIMEOUT"] = "soon"
	b.fails(exitUsage, []string{`FLOTILLA_TIMEOUT: time: invalid duration "soon"`}, "get", "ks")
}

func TestConfigurationThatCannotBeUsedIsTold(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	b.fails(exitUsage, []string{"there is no context nope", "try: fleetctl config get-contexts"}, "get", "ks", "--context", "nope")
	b.ok("config", "get-contexts", "--context", "nope") // so that it can be put right
	if err := os.Chmod(filepath.Join(b.dir, "flotilla/tokens/test"), 0o644); err != nil {
		t.Fatal(err)
	}
	b.fails(exitDenied, []string{"a token is not kept safe", "try: chmod 600"}, "get", "ks")
	if err := os.Remove(filepath.Join(b.dir, "flotilla/tokens/test")); err != nil {
		t.Fatal(err)
	}
	b.fails(exitDenied, []string{"there is no token for hub hub.example.com:9443", "try: fleetctl config set-context test --token-stdin"}, "get", "ks")
	b.env["FLOTILLA_CONFIG"] = b.write("broken.yaml", "apiVersion: v1\nkind: Config\n")
	b.fails(exitUsage, []string{"cannot read the configuration", "is Config of v1"}, "get", "ks")
	b.env["FLOTILLA_CONFIG"] = b.write("unknown.yaml", "apiVersion: cli.flotilla.dev/v1alpha1\nkind: Config\ntoken: x\n")
	b.fails(exitUsage, []string{"cannot read the configuration", `unknown field "token"`}, "get", "ks")
	b.env["FLOTILLA_CONFIG"] = filepath.Join(b.dir, "none", "config.yaml")
	b.fails(exitUsage, []string{"no hub is named", "fleetctl config set-context"}, "get", "ks")
	b.fails(exitDenied, []string{"there is no token for hub a:1", "--token-file"}, "get", "ks", "--hub", "a:1")
	b.env = map[string]string{}
	b.fails(exitUsage, []string{"set FLOTILLA_CONFIG"}, "get", "ks")
}

func TestTokenPathIsBesideTheConfiguration(t *testing.T) {
	t.Parallel()
	if got := config.TokenPath("/etc/flotilla/my.yaml", "prod"); got != "/etc/flotilla/tokens/prod" {
		t.Errorf("token path %s", got)
	}
}
