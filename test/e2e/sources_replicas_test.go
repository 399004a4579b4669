package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"flotilla.dev/flotilla/test/lab"
)

// Two processes of the hub on one database share the looks, and what one of them was at when it was killed, the other
// one does.
func TestTwoHubsFetchARevisionOnceAndOneGoesOnForTheOther(t *testing.T) {
	t.Parallel()
	fleet := startFleet(t)
	second, err := fleet.SecondHub(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	hubs := []*lab.Program{fleet.Hub, second.Program}
	git := lab.TestGit(t)
	var all []*app
	for range 12 { // each is a conversation of its own
		all = append(all, newAppFrom(t, fleet, git))
	}
	const token = "hunter2hunter2"
	paths := map[*app]string{}
	for _, a := range all {
		a.atRevision(a.head())
		a.fleetctl("create", "secret", "receiver", "app", "--type", "github", "--token", token)
		paths[a] = a.webhook(a.fleetctl("create", "receiver", "app", "--type", "github", "--event", "push", "--secret-ref", "app", "--resource", "GitRepository/app"))
	}
	// The first commit is behind it; each of what follows costs one fetch, wherever it is claimed and told of.
	call := func(at string, a *app) {
		t.Helper()
		body := `{"ref":"refs/heads/main"}`
		if code := a.postTo(at+paths[a], "push", body, hubSignature(token, body)); code != http.StatusOK {
			t.Fatalf("a call of the webhook at %s is answered %d", at, code)
		}
	}
	holder := map[*app]*lab.Program{}
	for round, at := range []string{second.HubURL(), fleet.HubURL()} {
		for _, a := range all {
			before, fetched := git.Traffic(a.namespace).Fetches, fetchesOf(a, hubs)
			commit := a.push(map[string]string{"deploy/app.yaml": a.configMap("app", fmt.Sprint("round ", round))})
			call(at, a)
			a.atRevision(commit)
			if got := git.Traffic(a.namespace).Fetches - before; got != 1 {
				t.Errorf("the Git server answered %d fetches of one commit", got)
			}
			for i, now := range fetchesOf(a, hubs) {
				if now > fetched[i] {
					holder[a] = hubs[i]
				}
			}
		}
	}
	looks := map[*lab.Program]*app{}
	for a, hub := range holder {
		looks[hub] = a
	}
	for _, hub := range hubs {
		if looks[hub] == nil {
			t.Fatalf("%s has no repository of %d that it looks at", hub.Name(), len(all))
		}
	}

	// The first hub hangs in a fetch when it is killed; fleetctl goes to the other one.
	a := looks[fleet.Hub]
	if err := second.Login(t.Context()); err != nil {
		t.Fatal(err)
	}
	commit := a.push(map[string]string{"deploy/app.yaml": a.configMap("app", "after the kill")})
	git.SetFor(func(r *http.Request) bool { return strings.Contains(r.URL.Path, a.namespace) }, lab.Hang)
	call(second.HubURL(), a)
	lab.Eventually(t, patience, "the look hangs", func() error {
		if git.Struck() == 0 {
			return errors.New("nobody has asked")
		}
		return nil
	})
	pid := second.PID()
	fleet.Hub.Kill()
	git.Clear()
	a.atRevision(commit)
	for _, other := range all {
		commit := other.push(map[string]string{"deploy/app.yaml": other.configMap("app", "by one hub")})
		call(second.HubURL(), other)
		other.atRevision(commit)
	}
	if now := second.PID(); now != pid {
		t.Errorf("the second hub was process %d and is %d", pid, now)
	}
}

// fetchesOf is how many fetches each hub has made.
func fetchesOf(a *app, hubs []*lab.Program) (fetches []float64) {
	a.t.Helper()
	for _, hub := range hubs {
		fetches = append(fetches, a.metric(hub, "flotilla_source_calls_total", "call=fetch"))
	}
	return fetches
}
