package release_test

import (
	"fmt"
	"testing"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

func TestChartGoesOnFromTheLastArtifactOfASourceThatIsInTrouble(t *testing.T) {
	t.Parallel()
	var m memory
	b := newBundleWith(t, inMemory(&m))
	chart := func(name string) {
		b.source("HelmChart", "apps", "chart", `"interval":"10m","chart":"`+name+`","sourceRef":{"kind":"GitRepository","name":"git"}`)
	}
	git := func(url string) {
		b.source("GitRepository", "apps", "git", `"interval":"10m","url":"`+url+`","secretRef":{"name":"own"}`)
	}
	m.set("GitRepository https://git.example.com/a", "a")
	b.secret("apps", "own", "password", "x")
	git("https://git.example.com/a")
	chart("./first")
	b.eventuallyOf("HelmChart", "apps", "chart", good)
	before := b.eventuallyOf("GitRepository", "apps", "git", good)

	again := func(what string) {
		t.Helper()
		chart("./" + what)
		b.eventuallyOf("HelmChart", "apps", "chart", func(s fleet.SourceState) error {
			o, err := b.Object(t.Context(), "HelmChart", "apps", "chart")
			if err != nil || s.ObservedGeneration != o.Metadata.Generation {
				return fmt.Errorf("at %+v, error %v", s, err)
			}
			return good(s)
		})
	}
	if _, err := b.DeleteObject(t.Context(), admin, resource.Deletion{Kind: "Secret", Namespace: "apps", Name: "own"}); err != nil {
		t.Fatal(err)
	}
	b.eventuallyOf("GitRepository", "apps", "git", saying("AuthenticationFailed"))
	again("without-its-secret")
	u := m.upstream("HelmChart https://git.example.com/a")
	if in := u.Inputs[0]; in.Tree != before.Tree || in.Revision != before.Revision || len(in.Secrets) > 0 {
		t.Errorf("made of %+v, want what was there before: %s", in, before.Revision)
	}
	b.secret("apps", "own", "password", "x")
	m.breakWith("GitRepository https://git.example.com/b", source.Upstream{URL: "https://git.example.com/b"}.Fail(source.KindConnect, "down"))
	git("https://git.example.com/b")
	b.eventuallyOf("GitRepository", "apps", "git", saying("down"))
	again("before-the-other-is-there")
	m.set("GitRepository https://git.example.com/b", "b")
	b.eventuallyOf("GitRepository", "apps", "git", good)
	b.eventuallyOf("HelmChart", "apps", "chart", func(s fleet.SourceState) error {
		if u := m.upstream("HelmChart https://git.example.com/b"); len(u.Inputs) == 0 || u.Inputs[0].Tree == before.Tree {
			return fmt.Errorf("made of %+v", u.Inputs)
		}
		return good(s)
	})
}
