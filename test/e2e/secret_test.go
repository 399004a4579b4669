package e2e

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"flotilla.dev/flotilla/test/lab"
)

// A password that the hub was given is used, and is nowhere to be read: not while it is right, and not when it is
// refused.
func TestPasswordIsNowhereToBeRead(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	a := newApp(t, fleet)
	a.settle()
	right, wrong := rand.Text(), rand.Text()
	if err := fleet.Git.Protect(a.namespace, "user", right); err != nil {
		t.Fatal(err)
	}
	a.secret(right)
	a.apply(strings.ReplaceAll(a.declared, "ref: {branch: main}", "ref: {branch: main}, secretRef: {name: git}"))
	a.settle()
	a.says("gitrepo/app", "Ready", "True")
	a.secret(wrong)
	a.lookNow()
	a.says("gitrepo/app", "Ready", "False AuthenticationFailed")

	texts := map[string]string{}
	for _, args := range [][]string{
		{"get", "secret/git", "-o", "yaml"}, {"describe", "secret/git"}, {"get", "gitrepo/app", "-o", "yaml"}, {"describe", "gitrepo/app"},
		{"describe", "ks/app"}, {"events", "-o", "json"}, {"status"},
	} {
		texts["fleetctl "+strings.Join(args, " ")] = a.fleetctl(args...)
	}
	logs, err := filepath.Glob(filepath.Join(fleet.Dir(), "log", "*"))
	if err != nil || len(logs) < 4 {
		t.Fatalf("logs %v, error %v", logs, err)
	}
	for _, file := range logs {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts[filepath.Base(file)] = string(content)
	}
	if texts["the database"], err = fleet.Postgres.DumpDatabase(t.Context(), "flotilla"); err != nil {
		t.Fatal(err)
	}
	for _, password := range []string{right, wrong} {
		for _, form := range []string{password, hex.EncodeToString([]byte(password)), base64.StdEncoding.EncodeToString([]byte(password)),
			base64.StdEncoding.EncodeToString([]byte("user:" + password))} {
			for where, text := range texts {
				if strings.Contains(text, form) {
					t.Errorf("%s holds the password, as %s", where, form)
				}
			}
		}
	}
	if text := texts["the database"]; !strings.Contains(text, a.namespace) {
		t.Error("the dump of the database does not even name the app")
	}
}
