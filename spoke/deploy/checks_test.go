package deploy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/deploy"
)

func (b *bundle) says(what string, holds func(deploy.Status) bool) {
	b.Helper()
	b.eventually(what, func() error {
		if s := b.status(); !holds(s) {
			return fmt.Errorf("it is %+v", s)
		}
		return nil
	})
}

func expression(current, failed string) []fleet.HealthCheckExpr {
	return []fleet.HealthCheckExpr{{APIVersion: "v1", Kind: "ConfigMap", Current: current, Failed: failed}}
}

// ConfigMaps are never read otherwise.
func TestHealthExpressionsTakeThePlaceOfKstatus(t *testing.T) {
	b := newBundle(t)
	b.release.HealthCheckExprs = expression("data.ready == 'yes'", "has(data.broken)")
	b.start()
	b.deploy(b.configMap("a", "1"))
	if s := b.status(); s.Healthy.Status != fleet.Unknown {
		t.Errorf("right after the pass it is %+v", s.Healthy)
	}
	b.says("it is in progress, and why", func(s deploy.Status) bool {
		return s.Healthy.Status == fleet.Unknown && strings.Contains(s.Healthy.Message, "healthCheckExprs current: no such key: ready")
	})
	b.patch(configMaps, "a", "controller", `{"data":{"ready":"yes"}}`)
	b.healthy(fleet.True)
	b.patch(configMaps, "a", "controller", `{"data":{"broken":"very"}}`)
	b.says("it has failed", func(s deploy.Status) bool {
		return s.Healthy.Status == fleet.False && s.Failed && strings.Contains(s.Healthy.Message, "by healthCheckExprs failed")
	})

	// Other expressions are about the objects as they are.
	b.release.HealthCheckExprs = expression("data.ready == 'yes'", "")
	target := b.deploy(b.configMap("a", "1"))
	b.healthy(fleet.True)
	b.release.HealthCheckExprs = expression("data.ready == 'never'", "")
	b.deploy(b.configMap("a", "1"))
	b.healthy(fleet.Unknown)

	// What was ready by some expressions is not by others, over a restart too.
	b.start()
	if err := b.engine.Load(b.Context(), b.app, target.Manifest, b.release, fleet.Binding{}); err != nil {
		t.Fatal(err)
	}
	b.says("it is judged by the new ones", func(s deploy.Status) bool {
		return s.Healthy.Status == fleet.Unknown && strings.Contains(s.Healthy.Message, "current is not true yet")
	})
	b.release.HealthCheckExprs = nil
	b.deploy(b.configMap("a", "1"))
	b.healthy(fleet.True)
}

func TestObjectsJudgedByExpressionsAreNotReadAtRest(t *testing.T) {
	b := newBundle(t)
	b.release.HealthCheckExprs = expression("data.key == '1'", "")
	b.start()
	b.deploy(b.configMap("a", "1"), b.configMap("b", "1"))
	b.healthy(fleet.True)
	b.judged()
	b.canary()
	b.comesToRest()
}

func TestReadyWaitsForHealthChecksOfOthersObjectsToo(t *testing.T) {
	b := newBundle(t)
	b.release.HealthChecks = []fleet.ObjectReference{
		{Kind: "Deployment", Name: "web"}, // apps/v1, in the App's namespace
		{APIVersion: "v1", Kind: "ConfigMap", Name: "theirs", Namespace: b.namespace},
		{APIVersion: "v1", Kind: "Namespace", Name: b.namespace},
		{APIVersion: "kustomize.toolkit.fluxcd.io/v1", Kind: "Kustomization", Name: b.app.Name, Namespace: b.app.Namespace}, // itself
	}
	b.release.HealthCheckExprs = expression("data.ready == 'yes'", "")
	b.start()
	b.deploy(b.deployment("web", ""), b.deployment("other", annotations("demo/fail", "image")))
	b.says("only what is theirs is missing", func(s deploy.Status) bool {
		return s.Checks.Status == fleet.Unknown && s.Healthy.Status == fleet.Unknown &&
			s.Checks.Message == "ConfigMap/"+b.namespace+"/theirs: NotFound: it is not there"
	})
	if err := b.create(configMaps, b.configMap("theirs", "1")); err != nil {
		t.Fatal(err)
	}
	b.says("it is there, and judged by the App's expressions", func(s deploy.Status) bool {
		return s.Checks.Status == fleet.Unknown && strings.Contains(s.Checks.Message, "theirs: InProgress: healthCheckExprs current")
	})
	b.patch(configMaps, "theirs", "someone", `{"data":{"ready":"yes"}}`)
	b.says("what is checked is ready, the rest is not", func(s deploy.Status) bool {
		return s.Checks.Status == fleet.True && s.Checks.Message == "3 objects are ready" && s.Healthy.Status == fleet.Unknown
	})
	b.deploy(b.deployment("web", ""), b.deployment("other", ""))
	b.healthy(fleet.True)
	b.judged()
	checks := b.release.HealthChecks
	b.release.HealthChecks = nil // the canary would begin to wait for them
	b.canary()
	b.comesToRest()
	b.release.HealthChecks = checks
	b.delete(configMaps, "theirs")
	b.says("it is gone", func(s deploy.Status) bool {
		return s.Checks.Status == fleet.Unknown && s.Healthy.Status == fleet.Unknown && strings.Contains(s.Checks.Message, "NotFound")
	})

	// With wait they are ignored.
	b.release.Wait = true
	b.deploy(b.deployment("web", ""), b.deployment("other", ""))
	b.says("it does not count", func(s deploy.Status) bool { return s.Checks.Status == "" && s.Healthy.Status == fleet.True })
}

func TestHealthCheckOfAKindThatIsNotThereYetPassesWhenItIs(t *testing.T) {
	b := newBundle(t)
	b.release.HealthChecks = []fleet.ObjectReference{{APIVersion: b.group() + "/v1", Kind: "Gadget", Name: "g"}}
	b.start()
	b.deploy(b.configMap("a", "1"))
	b.says("its kind is missing", func(s deploy.Status) bool {
		return s.Checks.Status == fleet.Unknown && strings.Contains(s.Checks.Message, "no kind Gadget")
	})
	if err := b.create(crds, fmt.Sprintf(widgetDefinition, "gadget", b.group(), "Gadget")); err != nil {
		t.Fatal(err)
	}
	b.eventually("a Gadget is made", func() error { return b.create(b.gadgets(), b.gadget("g", 1)) })
	b.says("it is ready", func(s deploy.Status) bool { return s.Checks.Status == fleet.True })
}

func TestExpressionsThatDoNotCompileStopAPassByName(t *testing.T) {
	b := newBundle(t).start()
	before := b.deploy(b.configMap("a", "1"))
	b.release.HealthCheckExprs = expression("data.", "")
	err := b.try(b.target(b.configMap("a", "2")))
	if !errors.Is(err, deploy.ErrExpression) || !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), "spec.healthCheckExprs[0].current: does not compile as CEL") {
		t.Errorf("it is %v", err)
	}
	b.otherGoesOn()
	b.value(configMaps, "a", "1", "data", "key")
	if s := b.status(); s.Applied != before.Release.Digest() || s.Healthy.Status != fleet.True {
		t.Errorf("it is %+v", s)
	}
}
