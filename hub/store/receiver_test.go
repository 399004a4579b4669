package store_test

import (
	"context"
	"encoding/hex"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
)

func receiverYAML(name, secret string) string {
	return `{"apiVersion":"notification.toolkit.fluxcd.io/v1","kind":"Receiver","metadata":{"name":"` + name + `","namespace":"apps"},
		"spec":{"type":"github","interval":"1h","secretRef":{"name":"` + secret + `"},"resources":[{"kind":"GitRepository","name":"app"}]}}`
}

func tokenYAML(token string) string {
	return `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"webhook","namespace":"apps"},"stringData":{"token":"` + token + `"}}`
}

// receiver is what is stored of one of namespace apps.
func (b *bundle) receiver(name string) fleet.ReceiverState {
	b.t.Helper()
	states, err := b.ReceiverStates(b.t.Context(), "apps", name)
	if err != nil {
		b.t.Fatal(err)
	}
	return states["apps/"+name]
}

// takers are the names of the Receivers that take the calls of a path.
func (b *bundle) takers(path string) (names []string) {
	b.t.Helper()
	hooks, err := b.Webhooks(b.t.Context(), path)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, hook := range hooks {
		names = append(names, hook.Namespace+"/"+hook.Name)
	}
	return names
}

func TestARotatedTokenMovesThePathAtOnce(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	path := func(token string) string { return flux.WebhookPath(token, "app", "apps") }
	taken := func(step, at string, others ...string) {
		t.Helper()
		state := b.receiver("app")
		if state.Path != at || (at == "") != (state.Reason == "TokenNotFound") || (at == "") != (state.Message != "") {
			t.Errorf("%s: the path is %q, want %q; reason %q, message %q", step, state.Path, at, state.Reason, state.Message)
		}
		if at != "" && !slices.Equal(b.takers(at), []string{"apps/app"}) {
			t.Errorf("%s: calls are taken by %v", step, b.takers(at))
		}
		for _, other := range others {
			if got := b.takers(other); got != nil {
				t.Errorf("%s: calls of another path are taken by %v", step, got)
			}
		}
	}
	b.apply(receiverYAML("app", "webhook"))
	taken("no Secret", "", path(""), path("one"))
	b.apply(tokenYAML("one"))
	taken("a Secret", path("one"))
	b.apply(tokenYAML("two"))
	taken("rotated", path("two"), path("one"))
	if _, _, err := b.Suspend(t.Context(), admin, "Receiver", "apps", "app", false); err != nil {
		t.Fatal(err)
	}
	b.apply(tokenYAML("three"))
	taken("rotated while suspended", path("three"), path("two"))
	b.apply(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"webhook","namespace":"apps"},"stringData":{"other":"x"}}`)
	taken("no token", "", path(""), path("three"))
	b.apply(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"webhook","namespace":"apps"},"data":{"token":""}}`)
	taken("an empty token", "", path(""), path("three"))
	b.apply(tokenYAML("four"))
	taken("again", path("four"), path("three"))
	b.apply(receiverYAML("app", "other"))
	taken("of a Secret that is not there", "", path("four"))
	b.apply(receiverYAML("app", "webhook"))
	taken("and back", path("four"))
	if _, err := b.DeleteObject(t.Context(), admin, resource.Deletion{Kind: "Secret", Namespace: "apps", Name: "webhook"}); err != nil {
		t.Fatal(err)
	}
	taken("the Secret is gone", "", path("four"), path(""))
	b.apply(tokenYAML("five"))
	taken("it is back", path("five"))
	if _, err := b.DeleteObject(t.Context(), admin, resource.Deletion{Kind: "Receiver", Namespace: "apps", Name: "app"}); err != nil {
		t.Fatal(err)
	}
	if got := b.takers(path("five")); got != nil || b.receiver("app").Version != 0 {
		t.Errorf("the Receiver is gone, and calls are taken by %v", got)
	}
	if got := b.scalar(`SELECT count(*)::text FROM receiver`); got != "0" {
		t.Errorf("%s rows are left", got)
	}
}

// A Secret and a Receiver that names it may be declared at the same time, by different replicas.
func TestAReceiverAndItsSecretMayComeAtOnce(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	for range 20 {
		var both sync.WaitGroup
		for _, text := range []string{receiverYAML("app", "webhook"), tokenYAML("one")} {
			declared := object(t, text)
			both.Go(func() {
				if _, _, _, err := b.ApplyObject(t.Context(), admin, declared, fleet.Order{}); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
		if got := b.receiver("app").Path; got != flux.WebhookPath("one", "app", "apps") {
			t.Fatalf("the path is %q", got)
		}
		for _, kind := range []string{"Receiver", "Secret"} {
			name := map[string]string{"Receiver": "app", "Secret": "webhook"}[kind]
			if _, err := b.DeleteObject(t.Context(), admin, resource.Deletion{Kind: kind, Namespace: "apps", Name: name}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestAReconciledReceiverSaysSoAtOnce(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(tokenYAML("one"))
	b.apply(receiverYAML("app", "webhook"))
	before := b.receiver("app")
	request, err := b.RequestReconcile(t.Context(), admin, "Receiver", "apps", "app", nil, fleet.LookOptions{})
	if err != nil {
		t.Fatal(err)
	}
	after := b.receiver("app")
	if after.HandledReconcileAt != request.At || after.Version <= before.Version || after.ObservedGeneration != 1 {
		t.Errorf("requested at %s, it is %+v", request.At, after)
	}
	if _, _, err := b.Resume(t.Context(), admin, "Receiver", "apps", "app", false); err != nil {
		t.Fatal(err)
	}
	if got := b.receiver("app").HandledReconcileAt; got == request.At {
		t.Error("the request of a resumption is not handled")
	}
}

// Names and namespaces stand side by side in what a path is made of, and generic-oidc has no token: a tenant could take
// another's path, if that meant to take the calls.
func TestReceiversOfOnePathTakeItsCallsTogether(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	declare := func(namespace, name string) {
		b.apply(`{"apiVersion":"notification.toolkit.fluxcd.io/v1","kind":"Receiver","metadata":{"name":"` + name + `","namespace":"` + namespace + `"},
			"spec":{"type":"generic-oidc","oidcProviders":[{"issuerURL":"https://issuer.example.com","validations":[{"expression":"true","message":"no"}]}],
			"resources":[{"kind":"GitRepository","name":"app"}]}}`)
	}
	declare("team-b", "app")
	declare("b", "other")
	if got := b.takers(flux.WebhookPath("", "app", "team-b")); !slices.Equal(got, []string{"team-b/app"}) {
		t.Errorf("calls are taken by %v", got)
	}
	declare("am-b", "appte") // the same text
	if got := b.takers(flux.WebhookPath("", "app", "team-b")); !slices.Equal(got, []string{"am-b/appte", "team-b/app"}) {
		t.Errorf("calls are taken by %v", got)
	}
}

// Secrets are sealed; a path is kept so that it can be found, and not read.
func TestAPathCannotBeReadInTheDatabase(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(tokenYAML("hunter2"))
	b.apply(receiverYAML("app", "webhook"))
	path := flux.WebhookPath("hunter2", "app", "apps")
	if got := b.takers(path); len(got) != 1 {
		t.Fatalf("calls are taken by %v", got)
	}
	for _, table := range []string{"receiver", "object", "audit", "event", "outbox"} {
		kept := b.scalar(`SELECT coalesce(string_agg(t::text, ' '), '') FROM ` + table + ` t`)
		for _, form := range []string{strings.TrimPrefix(path, flux.WebhookPrefix), hex.EncodeToString([]byte(path))} {
			if strings.Contains(kept, form) {
				t.Errorf("%s holds the path: %s", table, kept)
			}
		}
	}
}

// scalar is the text that a query gives.
func (b *bundle) scalar(query string) (text string) {
	b.t.Helper()
	conn, err := pgx.Connect(b.t.Context(), b.url)
	if err != nil {
		b.t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(b.t.Context()))
	if err := conn.QueryRow(b.t.Context(), query).Scan(&text); err != nil {
		b.t.Fatal(err)
	}
	return text
}

func (b *bundle) execute(statement string) {
	b.t.Helper()
	conn, err := pgx.Connect(b.t.Context(), b.url)
	if err != nil {
		b.t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(b.t.Context()))
	if _, err := conn.Exec(b.t.Context(), statement); err != nil {
		b.t.Fatal(err)
	}
}
