package e2e

import (
	"fmt"
	"strings"
	"testing"

	"flotilla.dev/flotilla/test/lab"
)

const second = `
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: next, namespace: NAMESPACE, labels: {release: one}}
spec: {interval: 1h, retryInterval: 1h, path: ./next, prune: true, sourceRef: {kind: GitRepository, name: app}, DEPENDSON}
---
apiVersion: fleet.flotilla.dev/v1alpha1
kind: Placement
metadata: {name: app, namespace: NAMESPACE}
spec:
  apps: [{kind: Kustomization, name: app}, {kind: Kustomization, name: next}]
  clusters: {selector: {matchExpressions: [{key: tier, operator: Exists}]}}
`

// next declares a Kustomization beside the app's that depends on something.
func (a *app) next(dependsOn string) {
	a.t.Helper()
	a.apply(strings.NewReplacer("NAMESPACE", a.namespace, "DEPENDSON", dependsOn).Replace(second))
}

// everywhere waits until a ConfigMap of the app has a value in every cluster.
func (a *app) everywhere(name, value string) {
	a.t.Helper()
	for _, m := range a.fleet.Members {
		lab.Eventually(a.t, patience, name+" is "+value+" in "+m.Name(), func() error {
			if got, err := a.value(m, name); err != nil || got != value {
				return fmt.Errorf("it is %q, %w", got, err)
			}
			return nil
		})
	}
}

// still fails the test where a ConfigMap of the app has another value.
func (a *app) still(name, value string) {
	a.t.Helper()
	for _, m := range a.fleet.Members {
		if got, err := a.value(m, name); err != nil || got != value {
			a.t.Errorf("%s is %q in %s, %v", name, got, m.Name(), err)
		}
	}
}

func TestDependencyIsReadyAtTheNewRevisionBeforeWhatDependsOnItIsApplied(t *testing.T) {
	t.Parallel()
	a := newApp(t, lab.TestFleet(t), "timeout: 30s", "timeout: 1h")
	a.push(map[string]string{"next/next.yaml": a.configMap("next", "first")})
	a.next("dependsOn: [{name: app}]")
	a.lookNow()
	a.everywhere("next", "first")
	a.says("ks/next", "Ready", "True")

	// Both change. The dependency's new objects are applied, and not ready.
	a.push(map[string]string{
		"deploy/app.yaml": a.configMap("app", "second"), "deploy/web.yaml": fmt.Sprintf(deployment, a.namespace, "demo/fail: image"),
		"next/next.yaml": a.configMap("next", "second"),
	})
	a.lookNow()
	a.everywhere("app", "second")
	for _, m := range a.fleet.Members {
		a.says("ks/next@"+m.Name(), "Ready", "False DependencyNotReady dependency Kustomization/"+a.namespace+"/app is not ready: Progressing")
	}
	a.says("ks/next", "Ready", "False DependencyNotReady")
	if s := a.get("ks/next").Status.Fleet; s.Failed != 0 || s.Ready != 0 || s.Total != len(a.fleet.Members) {
		t.Errorf("it counts %+v", s)
	}
	a.still("next", "first")
	a.push(map[string]string{"deploy/web.yaml": fmt.Sprintf(deployment, a.namespace, "")})
	a.lookNow()
	a.everywhere("next", "second")
	a.says("ks/next", "Ready", "True")

	// The dependency cannot be built: what depends on it stays as it was.
	a.push(map[string]string{"deploy/bad.yaml": "kind: [", "next/next.yaml": a.configMap("next", "third")})
	a.lookNow()
	a.says("ks/app", "Ready", "False BuildFailed")
	a.says("ks/next", "Ready", "dependency Kustomization/"+a.namespace+"/app is not built at revision main@sha1:")
	a.says("ks/next", "Ready", "False DependencyNotReady")
	a.still("next", "second")
	a.remove("deploy/bad.yaml")
	a.lookNow()
	a.everywhere("next", "third")

	// A commit that touches only what depends goes through at once.
	commit := a.push(map[string]string{"next/next.yaml": a.configMap("next", "fourth")})
	a.lookNow()
	a.everywhere("next", "fourth")
	a.fleetctl("wait", "ks/app", "--for", "revision="+commit, "--timeout", patience.String())
}

const ofAnotherKind = `
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: next, namespace: %s, annotations: {fleet.flotilla.dev/depends-on: HelmRelease/infra/redis}}
spec: {interval: 1h, path: ./next, prune: true, sourceRef: {kind: GitRepository, name: app}}
`

func TestReadyExprAndDependencyOfAnotherKind(t *testing.T) {
	t.Parallel()
	a := newApp(t, lab.TestFleet(t))
	a.push(map[string]string{"next/next.yaml": a.configMap("next", "first")})
	a.next(`dependsOn: [{name: app, readyExpr: "dep.metadata.labels['release'] == self.metadata.labels['release']"}]`)
	a.settle()
	for _, m := range a.fleet.Members {
		a.says("ks/next@"+m.Name(), "Ready", "DependencyNotReady dependency Kustomization/"+a.namespace+"/app is not ready: its readyExpr cannot be evaluated: no such key: release")
	}
	a.apply(strings.Replace(strings.Split(a.declared, "---")[1], "namespace: "+a.namespace+"}", "namespace: "+a.namespace+", labels: {release: one}}", 1))
	a.everywhere("next", "first")
	a.says("ks/next", "Ready", "True")

	a.push(map[string]string{"next/next.yaml": a.configMap("next", "second")})
	a.fleetctl("reconcile", "gitrepo/app")
	a.everywhere("next", "second")
	a.apply(fmt.Sprintf(ofAnotherKind, a.namespace))
	for _, m := range a.fleet.Members {
		a.says("ks/next@"+m.Name(), "Ready", "False DependencyNotReady dependency HelmRelease/infra/redis is not in this cluster: have its Placement choose this cluster too")
	}
	a.still("next", "second")
}

func TestExpressionOrCycleThatCanNeverWorkIsRefusedByName(t *testing.T) {
	t.Parallel()
	a := newApp(t, lab.TestFleet(t))
	a.next("dependsOn: [{name: app}]")
	for add, words := range map[string]string{
		"dependsOn: [{name: next}]":                                                "spec.dependsOn: each of these would wait for the next, for ever: NS/app -> NS/next -> NS/app",
		`dependsOn: [{name: other, readyExpr: "dep.status"}]`:                      "spec.dependsOn[0].readyExpr: is of type dyn and has to be a boolean",
		`healthCheckExprs: [{apiVersion: v1, kind: ConfigMap, current: "data ="}]`: "spec.healthCheckExprs[0].current: does not compile as CEL: line 1, column 6",
	} {
		declared := strings.Replace(a.declared, "wait: true,", "wait: true, "+add+",", 1)
		words = strings.ReplaceAll(words, "NS", a.namespace)
		a.refusedWith(declared, 2, words, "apply", "-f", "-")
		a.refusedWith(declared, 2, words, "apply", "-f", "-", "--dry-run")
	}
}
