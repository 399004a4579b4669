package release_test

import (
	"fmt"
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

// applyForeign declares an App of namespace tenant on the Source apps/app.
func (b *bundle) applyForeign() fleet.Key {
	b.t.Helper()
	b.apply(`{"apiVersion":"kustomize.toolkit.fluxcd.io/v1","kind":"Kustomization","metadata":{"name":"app","namespace":"tenant"},"spec":{"interval":"10m","prune":true,"path":"deploy","sourceRef":{"kind":"GitRepository","name":"app","namespace":"apps"}}}`)
	app := key("app")
	app.Namespace = "tenant"
	return app
}

func TestSourceOfAnotherNamespaceIsDenied(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	hash := b.push(map[string]string{"deploy/a.yaml": fmt.Sprintf(configMap, "a", "1")})
	b.applyGit("app", "")
	b.applyApp("app", "deploy")
	b.eventually("app", at(hash))
	app := b.applyForeign()
	denied := func(s fleet.AppState) error {
		for _, want := range []string{"GitRepository/apps/app", "than tenant", "--allow-cross-namespace-refs"} {
			if s.Reason != "AccessDenied" || s.TerminalSince.IsZero() || !strings.Contains(s.Message, want) {
				return fmt.Errorf("%+v is not AccessDenied, terminal, with %q", s, want)
			}
		}
		return nil
	}
	state := b.eventuallyKey(app, denied)
	if !state.Release.IsZero() || state.Attempted != "" || strings.Contains(state.Message, hash) {
		t.Errorf("%+v tells of the Source", state)
	}
	if _, err := b.DeleteObject(t.Context(), admin, resource.Deletion{Kind: "Kustomization", Namespace: "apps", Name: "app"}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.DeleteObject(t.Context(), admin, resource.Deletion{Kind: "GitRepository", Namespace: "apps", Name: "app"}); err != nil {
		t.Errorf("an App that may not have the Source keeps it: %v", err)
	}
	if built := b.metric("flotilla_hub_builds_total", "built"); built != 1 {
		t.Errorf("%v builds", built)
	}
	events, _, err := b.Events(t.Context(), fleet.EventQuery{Kind: "Kustomization", Name: "app", Warnings: true})
	if err != nil || len(events) != 1 || events[0].Reason != "AccessDenied" {
		t.Errorf("events %+v, error %v", events, err)
	}
}

func TestSourceOfAnotherNamespaceIsBuiltWhereThatIsAllowed(t *testing.T) {
	t.Parallel()
	b := newBundleThat(t, true, nil)
	hash := b.push(map[string]string{"deploy/a.yaml": fmt.Sprintf(configMap, "a", "1")})
	b.apply(`{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":"GitRepository","metadata":{"name":"app","namespace":"tenant"},"spec":{"interval":"10m","url":"` + b.server.URL("none") + `","ref":{"branch":"main"}}}`)
	b.applyGit("app", "")
	app := b.applyForeign()
	before := b.eventuallyKey(app, at(hash))
	hash = b.push(map[string]string{"deploy/a.yaml": fmt.Sprintf(configMap, "a", "2")})
	b.reconcile("app")
	if after := b.eventuallyKey(app, at(hash)); after.Release == before.Release {
		t.Error("another object, the same Release")
	}
	_, err := b.DeleteObject(t.Context(), admin, resource.Deletion{Kind: "GitRepository", Namespace: "apps", Name: "app"})
	if err == nil || !strings.Contains(err.Error(), "used by Kustomization/tenant/app") {
		t.Errorf("a Source that an App of another namespace has: %v", err)
	}
	if _, err := b.DeleteObject(t.Context(), admin, resource.Deletion{Kind: "GitRepository", Namespace: "tenant", Name: "app"}); err != nil {
		t.Errorf("a Source of the same name in the App's own namespace: %v", err)
	}
}

// A hub that is started again with another word on it: what is applied stays while the Source is denied, and goes on.
func TestDeniedSourceIsBuiltOnceItIsAllowed(t *testing.T) {
	t.Parallel()
	b := newBundleThat(t, true, nil)
	hash := b.push(map[string]string{"deploy/a.yaml": fmt.Sprintf(configMap, "a", "1")})
	b.applyGit("app", "")
	app := b.applyForeign()
	before := b.eventuallyKey(app, at(hash))
	b.restart(false)
	denied := b.eventuallyKey(app, failing("--allow-cross-namespace-refs"))
	if denied.Release != before.Release || denied.Revision != before.Revision {
		t.Errorf("%+v is not what was built before, %+v", denied, before)
	}
	b.restart(true)
	if after := b.eventuallyKey(app, func(s fleet.AppState) error {
		if s.Reason != "" {
			return fmt.Errorf("%+v", s)
		}
		return at(hash)(s)
	}); after.Release != before.Release {
		t.Errorf("%+v, was %+v", after, before)
	}
}
