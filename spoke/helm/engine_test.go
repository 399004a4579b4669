package helm

import (
	"errors"
	"testing"

	"k8s.io/client-go/rest"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

// stranded is an engine whose API server does not answer.
func stranded(t *testing.T) *Engine {
	t.Helper()
	e, err := New(Config{
		REST: &rest.Config{Host: "http://127.0.0.1:1"}, Runner: &helm{}, Namespace: "flotilla",
		Blob: func(fleet.Digest) ([]byte, error) { return nil, fleet.ErrNotFound },
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestAnObjectWhoseKindIsNotFoundOutIsNotCalledUnserved(t *testing.T) {
	t.Parallel()
	e, o := stranded(t), &objects{all: map[fleet.ObjectRef]object{}}
	ref := fleet.ObjectRef{Group: "demo.dev", Version: "v1", Kind: "Thing", Namespace: "apps", Name: "a"}
	if err := e.place(t.Context(), o, content{ref: ref}, "apps"); err == nil || errors.Is(err, fleet.ErrNotFound) || len(o.unserved) != 0 {
		t.Errorf("error %v; unserved are %v", err, o.unserved)
	}
}

func TestUnderOtherTermsAFailedCorrectionIsToldAgain(t *testing.T) {
	t.Parallel()
	e := stranded(t)
	a := e.app(fleet.Key{Kind: "HelmRelease", Namespace: "apps", Name: "app"})
	a.plan = &flux.HelmPlan{Spec: flux.HelmReleaseSpec{DriftDetection: &flux.HelmDriftDetection{Mode: flux.HelmDriftEnabled}}}
	if _, err := e.agree(a); err != nil {
		t.Fatal(err)
	}
	a.failed[fleet.ObjectRef{Kind: "ConfigMap"}] = "refused"
	a.plan = &flux.HelmPlan{}
	if _, err := e.agree(a); err != nil || len(a.failed) != 0 {
		t.Errorf("error %v; kept is %v", err, a.failed)
	}
}

func TestWhoActsForAnAppThatIsGoneIsLetGo(t *testing.T) {
	t.Parallel()
	e := stranded(t)
	a := e.app(fleet.Key{Kind: "HelmRelease", Namespace: "apps", Name: "app"})
	a.plan = &flux.HelmPlan{}
	e.drop(a)
	a.plan = &flux.HelmPlan{} // whoever looked it up before goes on
	if terms, err := e.agree(a); err != nil || terms != nil || a.terms != nil {
		t.Errorf("terms are %+v and %+v, error %v", terms, a.terms, err)
	}
}

func TestToResumeAnAppThatIsGoneKeepsNothingOfIt(t *testing.T) {
	t.Parallel()
	e, key := stranded(t), fleet.Key{Kind: "HelmRelease", Namespace: "apps", Name: "app"}
	e.SetSuspended(key, false)
	if e.known(key) != nil {
		t.Error("it is kept")
	}
	e.SetSuspended(key, true) // of one that is to come it holds from its first pass on
	if a := e.known(key); a == nil || !a.suspended {
		t.Errorf("it is %+v", a)
	}
}
