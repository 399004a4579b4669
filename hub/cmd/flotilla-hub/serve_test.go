package main_test

import (
	"encoding/base64"
	"encoding/hex"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"flotilla.dev/flotilla/test/lab"
)

var tokenLine = regexp.MustCompile(`(?m)^admin token, shown this once: (fla1\.\S+)$`)

// adminToken is the one that a hub printed.
func (h *hub) adminToken(t *testing.T) string {
	t.Helper()
	found := tokenLine.FindAllStringSubmatch(h.stdout.String(), -1)
	if len(found) != 1 {
		t.Fatalf("stdout has %d lines with a token, want one: %q", len(found), h.stdout)
	}
	return found[0][1]
}

func TestReferencesAcrossNamespacesAreBlockedUnlessTheHubIsToldOtherwise(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{"false": nil, "true": {"--allow-cross-namespace-refs"}} {
		h := serve(t, t.TempDir(), append(args, "--database-url", lab.TestDatabase(t))...)
		if log, line := h.stderr.String(), "config.allowCrossNamespaceRefs="+want; !strings.Contains(log, line) {
			t.Errorf("with %v the log does not say %s:\n%s", args, line, log)
		}
		if err := h.end(t, syscall.SIGTERM); err != nil {
			t.Errorf("the hub ended with %v", err)
		}
	}
}

func TestBuildsAreCheckedUnlessTheHubIsToldOtherwise(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{"100": nil, "0": {"--check-builds=0"}} {
		h := serve(t, t.TempDir(), append(args, "--database-url", lab.TestDatabase(t))...)
		if log, line := h.stderr.String(), "config.checkBuilds="+want+" "; !strings.Contains(log, line) {
			t.Errorf("with %v the log does not say %s:\n%s", args, line, log)
		}
		if err := h.end(t, syscall.SIGTERM); err != nil {
			t.Errorf("the hub ended with %v", err)
		}
	}
}

func TestFirstStartPrintsAnAdminTokenAndThePinThatTheLogRepeats(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	database := lab.TestDatabase(t)
	first := serve(t, dir, "--database-url", database)
	token := first.adminToken(t)
	if log := first.stderr.String(); !strings.Contains(log, "msg=ready") || !strings.Contains(log, "caPin="+first.CAPin) {
		t.Errorf("the log has no ready line with caPin=%s", first.CAPin)
	}
	if !strings.Contains(first.stdout.String(), first.CAPin) {
		t.Errorf("the pin is not printed beside the token")
	}
	first.fleetctl(t, token, "get", "clusters")
	info, err := os.Stat(filepath.Join(dir, "hub.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key file: %v, %v", info, err)
	}
	if err := first.end(t, syscall.SIGTERM); err != nil {
		t.Errorf("the hub ended with %v", err)
	}

	second := serve(t, dir, "--database-url", database)
	if said := second.stdout.String(); said != "" {
		t.Errorf("at the second start, stdout says %q", said)
	}
	second.fleetctl(t, token, "get", "clusters")
	if second.CAPin != first.CAPin {
		t.Errorf("the pin went from %s to %s", first.CAPin, second.CAPin)
	}
}

func TestFullDatabaseWithoutItsKeyFileIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	database := lab.TestDatabase(t)
	if err := serve(t, dir, "--database-url", database).end(t, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(dir, "hub.key")
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}

	said := refusal(t, []string{"FLOTILLA_DATABASE_URL=" + database}, "serve", "--data-dir", dir,
		"--spoke-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--hook-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0")
	if !strings.Contains(said, key) || !strings.Contains(said, "--key-file") {
		t.Errorf("the refusal names no key file: %s", said)
	}
	if _, err := os.Stat(key); !os.IsNotExist(err) {
		t.Errorf("a key was made beside a full database: %v", err)
	}
}

func TestEveryWrongSettingIsReportedAtOnce(t *testing.T) {
	t.Parallel()
	said := refusal(t, []string{"FLOTILLA_RENDER_MEMORY=much"}, "serve", "--log-level=loud", "--log-format=poem",
		"--data-dir=", "--allow-sources=ten", "--trust-domain=Not A Domain", "--spoke-listen=here", "--admin-listen=there",
		"--hook-listen=nowhere", "--http-listen=everywhere", "--spoke-address=hub", "--database-url=postgres://user:hidden@[db", "--host=")
	for _, want := range []string{
		"FLOTILLA_RENDER_MEMORY", "loud", "poem", "--allow-sources", "--trust-domain", "--spoke-listen", "--admin-listen", "--hook-listen", "--http-listen",
		"--spoke-address", "--database-url", "--data-dir",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("no %s in:\n%s", want, said)
		}
	}
	if strings.Contains(said, "hidden") {
		t.Errorf("the database's password is in:\n%s", said)
	}
}

func TestHubIsSetUpByEnvironmentAndFlagsWin(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ready := filepath.Join(dir, "ready.json")
	h := start(t, []string{
		"FLOTILLA_DATA_DIR=" + dir, "FLOTILLA_DATABASE_URL=" + lab.TestDatabase(t), "FLOTILLA_READY_FILE=" + ready,
		"FLOTILLA_SPOKE_LISTEN=127.0.0.1:0", "FLOTILLA_ADMIN_LISTEN=127.0.0.1:0", "FLOTILLA_HTTP_LISTEN=nowhere",
		"FLOTILLA_ADMIN_TOKEN_FILE=" + filepath.Join(dir, "token"), "FLOTILLA_KEY_FILE=" + filepath.Join(dir, "other.key"),
		"FLOTILLA_LOG_FORMAT=json",
	}, "serve", "--hook-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0")
	h.awaitReady(t, ready)
	for _, name := range []string{"token", "other.key"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	if log := h.stderr.String(); !strings.HasPrefix(log, "{") {
		t.Errorf("the log is no JSON: %s", log)
	}
}

func TestNoSecretIsLogged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	database := lab.TestDatabase(t)
	h := serve(t, dir, "--database-url", database, "--log-level", "debug")
	token := h.adminToken(t)
	joined := h.fleetctl(t, token, "cluster", "register", "eu-1", "--print", "token")
	given, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := given.User.Password()
	key, err := os.ReadFile(filepath.Join(dir, "hub.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := h.end(t, syscall.SIGTERM); err != nil {
		t.Error(err)
	}

	log := h.stderr.String()
	if !strings.Contains(log, "config.dataDir="+dir) {
		t.Errorf("the configuration is not logged: %s", log)
	}
	for what, secret := range map[string]string{
		"the admin token": token, "the join token's secret": strings.Split(joined, ".")[2], "the database's password": password,
		"the key": string(key), "the key in hex": hex.EncodeToString(key), "the key in base64": base64.StdEncoding.EncodeToString(key),
	} {
		if secret == "" || strings.Contains(log, secret) {
			t.Errorf("%s (%d bytes) is logged", what, len(secret))
		}
	}
}

func TestAdminTokenFileIsForItsOwnerAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "token")
	if err := os.WriteFile(file, []byte("of an earlier hub\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	h := serve(t, dir, "--database-url", lab.TestDatabase(t), "--admin-token-file", file)
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the token file: %v, %v", info.Mode(), err)
	}
	token, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	h.fleetctl(t, strings.TrimSpace(string(token)), "get", "clusters")
	if said := h.stdout.String(); said != "" {
		t.Errorf("stdout says %q", said)
	}
}

func TestAnotherAdminTokenIsMadeWhileTheHubRuns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	database := lab.TestDatabase(t)
	h := serve(t, dir, "--database-url", database)
	another := start(t, nil, "admin-token", "--data-dir", dir, "--database-url", database)
	if err := another.Wait(); err != nil {
		t.Fatal(err)
	}
	if another.adminToken(t) == h.adminToken(t) {
		t.Error("it is the same token")
	}
	h.fleetctl(t, another.adminToken(t), "get", "clusters")
	h.fleetctl(t, h.adminToken(t), "get", "clusters")
}

func TestLeakedAdminTokensAreEndedByAnother(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	database := lab.TestDatabase(t)
	h := serve(t, dir, "--database-url", database)
	another := start(t, nil, "admin-token", "--revoke-others", "--data-dir", dir, "--database-url", database)
	if err := another.Wait(); err != nil {
		t.Fatal(err)
	}
	h.fleetctl(t, another.adminToken(t), "get", "clusters")
	if _, err := h.tryFleetctl(t, h.adminToken(t), "get", "clusters"); err == nil || !strings.Contains(err.Error(), "it is not known to this hub") {
		t.Errorf("with the token of before: %v", err)
	}
	if log := another.stderr.String(); !strings.Contains(log, "tokens=1") {
		t.Errorf("the log does not count the ended one:\n%s", log)
	}
}

func TestJoinCommandNamesTheHubAsSpokesReachIt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		args []string
		host string
		warn bool
	}{
		{"given", []string{"--spoke-listen=:0", "--spoke-address=hub.example.com:443"}, "hub.example.com", false},
		{"by the first host elsewhere", []string{"--spoke-listen=:0", "--host=localhost,::1,hub.example.com,10.0.0.1"}, "hub.example.com", false},
		{"as the listener has it", []string{"--host=hub.example.com"}, "127.0.0.1", false},
		{"to be filled in", []string{"--spoke-listen=:0"}, "REPLACE_WITH_HUB_HOST", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := serve(t, t.TempDir(), append([]string{"--database-url", lab.TestDatabase(t)}, c.args...)...)
			line := h.fleetctl(t, h.adminToken(t), "cluster", "register", "eu-1")
			address := strings.Fields(strings.TrimPrefix(line, "flotilla-spoke run --hub "))[0]
			host, port, err := net.SplitHostPort(address)
			if err != nil || host != c.host {
				t.Errorf("the command is %s, want host %s: %v", line, c.host, err)
			}
			if _, listens, err := net.SplitHostPort(h.Spoke); err != nil || port != listens && c.name != "given" {
				t.Errorf("the command names port %s, the hub listens on %s: %v", port, h.Spoke, err)
			}
			if warned := strings.Contains(h.stderr.String(), "--spoke-address"); warned != c.warn {
				t.Errorf("a warning was logged: %v, want %v", warned, c.warn)
			}
		})
	}
}

func TestATrustedRootThatIsNoneIsRefusedAtTheStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "trusted_root.json")
	database := lab.TestDatabase(t)
	for _, write := range []bool{false, true} {
		if write {
			if err := os.WriteFile(file, []byte("canary"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		said := refusal(t, nil, "serve", "--data-dir", dir, "--database-url", database, "--trusted-root", file,
			"--spoke-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--hook-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0")
		if !strings.Contains(said, "--trusted-root") || strings.Contains(said, "canary") {
			t.Errorf("the refusal is: %s", said)
		}
	}
}

func TestMetricsAndProbesAreNotWhereWebhooksAre(t *testing.T) {
	t.Parallel()
	h := serve(t, t.TempDir(), "--database-url", lab.TestDatabase(t))
	for at, want := range map[string]int{
		h.HTTP + "/metrics": http.StatusOK, h.HTTP + "/healthz": http.StatusOK, h.HTTP + "/readyz": http.StatusOK, h.HTTP + "/hook/0123": http.StatusNotFound,
		h.Hook + "/metrics": http.StatusNotFound, h.Hook + "/healthz": http.StatusNotFound, h.Hook + "/readyz": http.StatusNotFound, h.Hook + "/": http.StatusNotFound,
		h.Hook + "/hook/0123": http.StatusMethodNotAllowed,
	} {
		if code, err := h.getAt(t, at); err != nil || code != want {
			t.Errorf("%s answers %d, %v; want %d", at, code, err, want)
		}
	}
}
