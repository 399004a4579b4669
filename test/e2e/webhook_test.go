package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"flotilla.dev/flotilla/test/lab"
)

// The interval is an hour: what is fetched at once was asked for.
func TestAPushIsFetchedAtOnceWhenItsWebhookIsCalled(t *testing.T) {
	t.Parallel()
	fleet := startFleet(t)
	a := newApp(t, fleet)
	a.atRevision(a.head())
	const token = "hunter2hunter2"
	a.fleetctl("create", "secret", "receiver", "app", "--type", "github", "--token", token)
	path := a.webhook(a.fleetctl("create", "receiver", "app", "--type", "github", "--event", "push", "--secret-ref", "app", "--resource", "GitRepository/app"))

	commit := a.push(map[string]string{"deploy/app.yaml": a.configMap("app", "second")})
	body := `{"ref":"refs/heads/main","after":"` + commit + `"}`
	good := hubSignature(token, body)
	for _, test := range []struct {
		name, path, event, signature string
		code                         int
	}{
		{"unsigned", path, "push", "", http.StatusNotFound},
		{"signed with another token", path, "push", hubSignature("x", body), http.StatusNotFound},
		{"of a path that nobody has", path[:len(path)-1] + "x", "push", good, http.StatusNotFound},
		{"of another event", path, "star", good, http.StatusBadRequest},
	} {
		if code := a.post(test.path, test.event, body, test.signature); code != test.code {
			t.Errorf("a call %s is answered %d", test.name, code)
		}
	}
	if got := a.revision(); strings.HasSuffix(got, commit) {
		t.Fatalf("it is at %s though no good call has come", got)
	}
	if code := a.post(path, "push", body, good); code != http.StatusOK {
		t.Fatalf("a good call is answered %d", code)
	}
	a.atRevision(commit)

	last := a.push(map[string]string{"deploy/app.yaml": a.configMap("app", "third")})
	before := fleet.Git.Traffic(a.namespace).Advertisements
	var calls sync.WaitGroup
	const senders, each = 10, 30
	for range senders {
		calls.Go(func() {
			for range each {
				if code := a.post(path, "push", body, good); code != http.StatusOK {
					t.Errorf("one of many calls is answered %d", code)
				}
			}
		})
	}
	calls.Wait()
	a.atRevision(last)
	if looks := fleet.Git.Traffic(a.namespace).Advertisements - before; looks > senders*each/2 {
		t.Errorf("%d calls at once came to %d looks at the repository", senders*each, looks)
	}

	a.fleetctl("create", "secret", "receiver", "app", "--type", "github", "--token", "another")
	if code := a.post(path, "push", body, good); code != http.StatusNotFound {
		t.Errorf("with another token the old path is answered %d", code)
	}
	moved := a.webhook("generated webhook URL " + a.receiverPath())
	if code := a.post(moved, "push", body, hubSignature("another", body)); code != http.StatusOK {
		t.Errorf("the new path is answered %d", code)
	}
	log, err := os.ReadFile(filepath.Join(fleet.Dir(), "log", "hub.log"))
	if err != nil {
		t.Fatal(err)
	}
	says(t, "the hub's log", string(log), "webhook called")
	for _, secret := range []string{token, path, moved} {
		if strings.Contains(string(log), strings.TrimPrefix(secret, "/hook/")) {
			t.Errorf("the hub's log holds %s", secret)
		}
	}
	says(t, "the events", a.fleetctl("events", "--for", "receiver/app"), "WebhookRefused")
}

// webhook is the path that fleetctl tells.
func (a *app) webhook(told string) string {
	a.t.Helper()
	_, path, found := strings.Cut(strings.TrimSpace(told), "generated webhook URL ")
	if !found || !strings.HasPrefix(path, "/hook/") {
		a.t.Fatalf("no path is told: %s", told)
	}
	return path
}

func (a *app) receiverPath() string {
	a.t.Helper()
	var receiver struct{ Status struct{ WebhookPath string } }
	if err := json.Unmarshal([]byte(a.fleetctl("get", "receiver/app", "-o", "json")), &receiver); err != nil {
		a.t.Fatal(err)
	}
	return receiver.Status.WebhookPath
}

func hubSignature(token, body string) string {
	mac := hmac.New(sha256.New, []byte(token))
	_, _ = mac.Write([]byte(body))
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// post calls a webhook as GitHub does, and returns how that is answered.
func (a *app) post(path, event, body, signature string) (code int) {
	return a.postTo(a.fleet.HubURL()+path, event, body, signature)
}

// postTo is post to any replica.
func (a *app) postTo(url, event, body, signature string) (code int) {
	request, err := http.NewRequestWithContext(a.t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		a.t.Error(err)
		return 0
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-GitHub-Event", event)
	if signature != "" {
		request.Header.Set("X-Hub-Signature-256", signature)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		a.t.Error(err)
		return 0
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
	return answer.StatusCode
}

// revision is what the app's source is at.
func (a *app) revision() string {
	a.t.Helper()
	var source struct {
		Status struct{ Artifact struct{ Revision string } }
	}
	if err := json.Unmarshal([]byte(a.fleetctl("get", "gitrepo/app", "-o", "json")), &source); err != nil {
		a.t.Fatal(err)
	}
	return source.Status.Artifact.Revision
}

// atRevision waits until the app's source is at a commit.
func (a *app) atRevision(commit string) {
	a.t.Helper()
	lab.Eventually(a.t, patience, "the source is at "+commit, func() error {
		if got := a.revision(); !strings.HasSuffix(got, commit) {
			return fmt.Errorf("it is at %s", got)
		}
		return nil
	})
}
