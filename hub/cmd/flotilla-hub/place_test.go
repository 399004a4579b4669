package main_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"flotilla.dev/flotilla/test/lab"
)

// serveWith is serve with an environment.
func serveWith(t *testing.T, dir string, env []string, args ...string) *hub {
	t.Helper()
	file := filepath.Join(dir, "ready.json")
	_ = os.Remove(file) // of a hub before
	h := start(t, env, append([]string{
		"serve", "--data-dir", dir, "--ready-file", file,
		"--spoke-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--hook-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0",
	}, args...)...)
	h.awaitReady(t, file)
	return h
}

func TestTheKeyCanBeInTheEnvironment(t *testing.T) {
	t.Parallel()
	dir, url := t.TempDir(), lab.TestDatabase(t)
	key := strings.Repeat("5a", 32)
	h := serveWith(t, dir, []string{"FLOTILLA_KEY=" + key}, "--database-url", url)
	if log := h.stderr.String(); strings.Contains(log, key) || !strings.Contains(log, "config.key=FLOTILLA_KEY") {
		t.Errorf("the log shows the key, or not where it is:\n%s", log)
	}
	pin := h.CAPin
	if err := h.end(t, syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "hub.key")); err == nil {
		t.Error("a key file was made beside it")
	}
	// In base64 it is the same hub.
	raw := make([]byte, 32)
	for i := range raw {
		raw[i] = 0x5a
	}
	again := serveWith(t, dir, []string{"FLOTILLA_KEY=" + base64.StdEncoding.EncodeToString(raw)}, "--database-url", url)
	if again.CAPin != pin {
		t.Errorf("another hub: %s, before %s", again.CAPin, pin)
	}
	if err := again.end(t, syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	other := strings.Repeat("5b", 32)
	for said, env := range map[string][]string{
		"is not the one this database was made with": {"FLOTILLA_KEY=" + other},
		"the key is given twice":                     {"FLOTILLA_KEY=" + key, "FLOTILLA_KEY_FILE=/x"},
		"it is not a key of 32 bytes":                {"FLOTILLA_KEY=short"},
		"the database holds a hub":                   nil,
	} {
		log := refusal(t, env, "serve", "--data-dir", dir, "--database-url", url, "--spoke-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--hook-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0")
		if !strings.Contains(log, said) || strings.Contains(log, other) {
			t.Errorf("with %d variables it does not say %q, or shows the key:\n%s", len(env), said, log)
		}
	}
}

// blobsS3 is an object storage with a bucket.
func blobsS3(t *testing.T) (s3 *lab.S3, flag string, env []string) {
	t.Helper()
	s3 = lab.TestS3(t, lab.S3Config{})
	if err := s3.MakeBucket("blobs"); err != nil {
		t.Fatal(err)
	}
	return s3, "s3://blobs/hub?insecure=true&endpoint=" + s3.Host(), []string{"FLOTILLA_BLOBS_ACCESS_KEY=" + lab.AccessKey, "FLOTILLA_BLOBS_SECRET_KEY=" + lab.SecretKey}
}

func TestBlobsCanBeInObjectStorageAndMoveThere(t *testing.T) {
	t.Parallel()
	dir, url := t.TempDir(), lab.TestDatabase(t)
	s3, blobs, env := blobsS3(t)
	git := lab.TestGit(t)
	address, err := git.NewRepo("app")
	if err != nil {
		t.Fatal(err)
	}
	repo, err := git.Clone(t.Context(), "app", filepath.Join(t.TempDir(), "work"))
	if err == nil {
		err = repo.Write("cm.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: apps}\n")
	}
	if err == nil {
		_, err = repo.Commit(t.Context(), "one")
	}
	if err == nil {
		err = repo.Push(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	first := serveWith(t, dir, nil, "--database-url", url)
	token := first.adminToken(t)
	file := filepath.Join(t.TempDir(), "source.yaml")
	declared := fmt.Sprintf("apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: app, namespace: apps}\nspec: {interval: 1m, url: %q, ref: {branch: main}}\n", address)
	if err := os.WriteFile(file, []byte(declared), 0o600); err != nil {
		t.Fatal(err)
	}
	first.fleetctl(t, token, "apply", "-f", file)
	lab.Eventually(t, patience, "the source is fetched", func() error {
		if got := first.fleetctl(t, token, "get", "gitrepositories", "-A"); !strings.Contains(got, "main@sha1:") {
			return fmt.Errorf("it is %s", got)
		}
		return nil
	})
	if err := first.end(t, syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	listen := []string{"--spoke-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--hook-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"}
	if log := refusal(t, env, append([]string{"serve", "--data-dir", dir, "--database-url", url, "--blobs", blobs}, listen...)...); !strings.Contains(log, "are in the database, not in s3://blobs/hub") {
		t.Errorf("it does not say where blobs are:\n%s", log)
	}
	move := start(t, env, "blobs", "move", "--to", blobs, "--data-dir", dir, "--database-url", url)
	if err := move.Wait(); err != nil || !strings.Contains(move.stdout.String(), "moved: ") {
		t.Fatalf("the move: %v\n%s", err, move.stderr)
	}
	if keys, err := s3.Keys("blobs"); err != nil || len(keys) < 2 {
		t.Errorf("objects %v, %v", keys, err)
	}
	if log := refusal(t, nil, append([]string{"serve", "--data-dir", dir, "--database-url", url}, listen...)...); !strings.Contains(log, "are in s3://blobs/hub: start every hub with --blobs") {
		t.Errorf("it does not say where blobs are:\n%s", log)
	}
	second := serveWith(t, dir, env, "--database-url", url, "--blobs", blobs)
	if log := second.stderr.String(); strings.Contains(log, lab.SecretKey) {
		t.Errorf("the log shows the secret key:\n%s", log)
	}
	if got := second.fleetctl(t, token, "get", "gitrepositories", "-A"); !strings.Contains(got, "main@sha1:") {
		t.Errorf("the source is %s", got)
	}
	if err := second.end(t, syscall.SIGTERM); err != nil {
		t.Error(err)
	}
}

// What a Secret holds comes out nowhere: of no API, no log, no event, no metric, and no dump of the database; also when
// what it is for refuses it.
func TestWhatASecretHoldsComesOutNowhere(t *testing.T) {
	t.Parallel()
	const canary = "canary-of-a-password"
	dir, url := t.TempDir(), lab.TestDatabase(t)
	h := serveWith(t, dir, nil, "--database-url", url)
	token := h.adminToken(t)
	refusing := lab.TestSite(t, lab.SiteConfig{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, r.Header.Get("Authorization")) // a server that tells what it was told
	}))
	file := filepath.Join(t.TempDir(), "objects.yaml")
	declared := `apiVersion: v1
kind: Secret
metadata: {name: git, namespace: apps}
stringData: {username: anna, password: ` + canary + `}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: app, namespace: apps}
spec: {interval: 1m, url: "` + refusing.URL() + `/app", ref: {branch: main}, secretRef: {name: git}}
`
	if err := os.WriteFile(file, []byte(declared), 0o600); err != nil {
		t.Fatal(err)
	}
	outputs := map[string]string{"apply": h.fleetctl(t, token, "apply", "-f", file)}
	lab.Eventually(t, patience, "the source is refused", func() error {
		outputs["sources"] = h.fleetctl(t, token, "get", "gitrepositories", "-A", "-o", "yaml")
		if !strings.Contains(outputs["sources"], "AuthenticationFailed") {
			return fmt.Errorf("it is %s", outputs["sources"])
		}
		return nil
	})
	if refusing.Count(func(v lab.Visit) bool { return strings.HasPrefix(v.Header.Get("Authorization"), "Basic ") }) == 0 {
		t.Error("the password was not even used")
	}
	outputs["secrets"] = h.fleetctl(t, token, "get", "secrets", "-A", "-o", "yaml")
	outputs["events"] = h.fleetctl(t, token, "events", "-A")
	res, err := http.Get("http://" + h.HTTP + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	dump, err := exec.CommandContext(t.Context(), "pg_dump", "--dbname", url).CombinedOutput()
	if err != nil || !strings.Contains(string(dump), "GitRepository") {
		t.Fatalf("pg_dump: %v: %d bytes", err, len(dump))
	}
	if err := h.end(t, syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	outputs["metrics"], outputs["dump"], outputs["log"], outputs["stdout"] = string(metrics), string(dump), h.stderr.String(), h.stdout.String()
	basic := base64.StdEncoding.EncodeToString([]byte("anna:" + canary))
	for where, text := range outputs {
		for _, form := range []string{canary, base64.StdEncoding.EncodeToString([]byte(canary)), basic, fmt.Sprintf("%x", canary)} {
			if strings.Contains(text, form) {
				t.Errorf("%s holds it", where)
			}
		}
	}
}
