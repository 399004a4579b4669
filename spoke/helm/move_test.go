package helm

import (
	"context"
	"errors"
	"testing"

	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/helm/job"
)

func TestWithoutHelmsProgramInTheMidstOfAMoveThatIsSaid(t *testing.T) {
	for name, after := range map[string]job.Action{"to uninstall": job.Prepare, "to install": job.Uninstall} {
		t.Run(name, func(t *testing.T) {
			b := newBundle(t)
			b.deploy("web@1")
			b.plan.Spec.ReleaseName = "other"
			b.helm.says(func(_ context.Context, a job.Action, _ point) error {
				if a == after {
					b.helm.setMissing(errors.New("find flotilla-helm"))
				}
				return nil
			})
			b.refused(b.target("web@1"), "HelmUnavailable")
			b.helm.says(nil)
			b.helm.setMissing(nil)
			b.deploy("web@1")
		})
	}
}

func TestAReleaseThatIsToBeElsewhereIsUninstalledFirst(t *testing.T) {
	for name, change := range map[string]func(*bundle){
		"another name":              func(b *bundle) { b.plan.Spec.ReleaseName = "other" },
		"another namespace":         func(b *bundle) { b.plan.Spec.TargetNamespace = b.system; b.plan.Spec.ReleaseName = "app" },
		"another storage namespace": func(b *bundle) { b.plan.Spec.StorageNamespace = b.system },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBundle(t)
			b.deploy("web@1")
			change(b)
			b.deploy("web@1")
			if got := b.helm.done(); got != "install uninstall install" {
				t.Errorf("done was %q", got)
			}
			n := namesOf(b.app, b.plan.Spec)
			is, err := b.helm.of(n)
			if err != nil || say(is) != "v1:deployed:1" {
				t.Errorf("stored is %q, error %v", say(is), err)
			}
			if h := b.status(); h.StorageNamespace != n.Storage || len(h.History) != 1 || h.History[0].Name != n.Release {
				t.Errorf("status is %+v", h)
			}
		})
	}
}

func TestAReleaseThatIsToBeElsewhereStaysWhileWhatComesIsNoGood(t *testing.T) {
	b := newBundle(t)
	b.deploy("web@1")
	b.helm.done()
	b.plan.Spec.ReleaseName = "other"
	b.helm.fails(job.Prepare, beforeStored, &job.Failure{Reason: "ValuesError", Message: "Secret/x is not there"})
	b.refused(b.target("web@1"), "ValuesError")
	b.wants("", "v1:deployed:1")
	b.helm.says(nil)
	b.deploy("web@1")
	b.wants("uninstall install", "")
}

func TestAReleaseOfAnotherChartIsMadeAnewUnlessItIsToBeUpdatedInPlace(t *testing.T) {
	b := newBundle(t)
	b.deploy("web@1")
	b.deploy("shop@1")
	b.wants("install uninstall install", "v1:deployed:1")
	b.plan.Spec.Upgrade = &flux.HelmUpgrade{ChartNameChangeStrategy: "InPlaceUpdate"}
	b.deploy("web@2")
	b.wants("upgrade", "v2:deployed:2 v1:superseded:1")
}
