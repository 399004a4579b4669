package deploy_test

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/deploy"
)

// substituting makes the bundle's App one with postBuild.
func (b *bundle) substituting(inline map[string]string, from ...fleet.SubstituteReference) *bundle {
	b.release.PostBuild = &fleet.PostBuild{Substitute: inline, SubstituteFrom: from}
	return b
}

// text is the document of a ConfigMap with that data, as YAML.
func (b *bundle) text(name string, lines ...string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: %s\n  namespace: %s\ndata:\n  %s\n", name, b.namespace, strings.Join(lines, "\n  "))
}

func (b *bundle) putConfigMap(name string, data map[string]string) {
	b.Helper()
	client := b.typed.CoreV1().ConfigMaps(b.namespace)
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: data}
	if _, err := client.Update(b.Context(), object, metav1.UpdateOptions{}); err == nil {
		return
	}
	if _, err := client.Create(b.Context(), object, metav1.CreateOptions{}); err != nil {
		b.Fatal(err)
	}
}

func (b *bundle) putSecret(name string, data map[string]string) {
	b.Helper()
	client := b.typed.CoreV1().Secrets(b.namespace)
	object := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, StringData: data}
	if _, err := client.Update(b.Context(), object, metav1.UpdateOptions{}); err == nil {
		return
	}
	if _, err := client.Create(b.Context(), object, metav1.CreateOptions{}); err != nil {
		b.Fatal(err)
	}
}

func (b *bundle) data(name string) map[string]string {
	b.Helper()
	object, err := b.typed.CoreV1().ConfigMaps(b.namespace).Get(b.Context(), name, metav1.GetOptions{})
	if err != nil {
		b.Fatal(err)
	}
	return object.Data
}

func (b *bundle) wantData(name string, want map[string]string) {
	b.Helper()
	if got := b.data(name); !maps.Equal(got, want) {
		b.Errorf("ConfigMap %s has %v, want %v", name, got, want)
	}
}

func (b *bundle) refused(target deploy.Target, as error, words ...string) {
	b.Helper()
	err := b.try(target)
	if !errors.Is(err, deploy.ErrResolve) || !errors.Is(err, as) {
		b.Errorf("error %v, want a resolve error that is %v", err, as)
	}
	for _, word := range words {
		if err != nil && !strings.Contains(err.Error(), word) {
			b.Errorf("error %v, want %q in it", err, word)
		}
	}
}

func TestPostBuildSubstitutesInTheTextSoThatTypesComeOutAsInFlux(t *testing.T) {
	b := newBundle(t).start()
	b.substituting(map[string]string{"PORT": "8080", "ON": "true", "NAME": "web"})
	b.deploy(
		fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata:\n  name: ${NAME}\n  namespace: %s\nspec:\n  ports:\n  - port: ${PORT}\n  publishNotReadyAddresses: ${ON}\n", b.namespace),
		b.text("quoted", `port: "${PORT}"`, `enabled: "${ON}"`, `script: echo $${HOME} $HOME`),
	)
	ports := b.get(services, "web").Object["spec"].(map[string]any)["ports"].([]any)
	if port := ports[0].(map[string]any)["port"]; port != int64(8080) {
		t.Errorf("port %v (%T)", port, port)
	}
	b.wantData("quoted", map[string]string{"port": "8080", "enabled": "true", "script": "echo ${HOME} $HOME"})

	// Without quotes a ConfigMap would get a boolean, which the API server refuses: as with Flux.
	if err := b.try(b.target(b.text("quoted", `enabled: ${ON}`))); err == nil {
		t.Error("a boolean in a ConfigMap was taken")
	}
}

func TestPostBuildWithAnUndefinedVariableIsRefusedBeforeAnythingIsWritten(t *testing.T) {
	b := newBundle(t).start()
	b.substituting(map[string]string{"A": "1"})
	b.refused(b.target(b.text("first", "a: x${A}"), b.text("second", "a: x${MISSING}")), fleet.ErrInvalid,
		"ConfigMap/"+b.namespace+"/second", `"MISSING" is not set and has no default`)
	if b.get(configMaps, "first") != nil {
		t.Error("the first object was applied")
	}
	b.otherGoesOn()
	b.deploy(b.text("second", "a: x${MISSING:=1}"))
	b.wantData("second", map[string]string{"a": "x1"})
}

func TestPostBuildTouchesOnlyWhatFluxWouldSubstitute(t *testing.T) {
	b := newBundle(t).start()
	b.deploy(b.text("home", `a: "${HOME}"`))
	b.wantData("home", map[string]string{"a": "${HOME}"})

	b.binding.Variables = map[string]string{"HOME": "the cluster's"}
	b.substituting(nil) // no variable of the App's own
	b.deploy(b.text("home", `a: "${HOME}"`), b.text("none", `a: "${HOME:=x}"`))
	b.wantData("home", map[string]string{"a": "${HOME}"})
	b.wantData("none", map[string]string{"a": "${HOME:=x}"})

	b.release.PostBuild.SubstituteStrategy = fleet.SubstituteAlways
	b.deploy(b.text("none", `a: "${HOME:=x}"`))
	b.wantData("none", map[string]string{"a": "the cluster's"})
	b.binding.Variables = nil
	b.deploy(b.text("none", `a: "${HOME:=x}"`))
	b.wantData("none", map[string]string{"a": "x"})

	b.substituting(map[string]string{"HOME": "y"})
	disabled := strings.Replace(b.text("home", `a: "${HOME}"`), "metadata:", "metadata:\n  annotations: {kustomize.toolkit.fluxcd.io/substitute: disabled}", 1)
	b.deploy(disabled, b.text("none", `a: "${HOME}"`))
	b.wantData("home", map[string]string{"a": "${HOME}"})
	b.wantData("none", map[string]string{"a": "y"})
}

func TestPostBuildTakesVariablesInFluxsOrderOfPrecedence(t *testing.T) {
	b := newBundle(t).start()
	b.putConfigMap("one", map[string]string{"FROM": "one", "INLINE": "one", "CLUSTER": "one", "LINES": "a\nb\n"})
	b.putSecret("two", map[string]string{"FROM": "two"})
	b.binding.Variables = map[string]string{"CLUSTER": "cluster", "CLUSTER_NAME": "eu-1", "FROM": "cluster"}
	b.substituting(map[string]string{"INLINE": "inline"},
		fleet.SubstituteReference{Kind: "ConfigMap", Name: "one"}, fleet.SubstituteReference{Kind: "Secret", Name: "two"},
		fleet.SubstituteReference{Kind: "ConfigMap", Name: "absent", Optional: true})
	b.deploy(b.text("it", "from: ${FROM}", "inline: ${INLINE}", "cluster: ${CLUSTER}", "name: ${CLUSTER_NAME}", "lines: ${LINES}"))
	b.wantData("it", map[string]string{"from": "two", "inline": "inline", "cluster": "one", "name": "eu-1", "lines": "ab"})
}

func TestPostBuildThatRefersToWhatIsNotThereSaysSoAndRecovers(t *testing.T) {
	b := newBundle(t).start()
	b.substituting(nil, fleet.SubstituteReference{Kind: "Secret", Name: "vars"})
	target := b.target(b.text("it", "a: ${A}"))
	b.refused(target, fleet.ErrNotFound, "spec.postBuild.substituteFrom[0]", "Secret/"+b.namespace+"/vars", "optional")
	b.eventually("the watch", func() error {
		if b.status().Wakes > 0 {
			t.Error("woken by nothing")
		}
		return b.watched("secrets", "vars")
	})
	b.putSecret("vars", map[string]string{"A": "x", "B-C": "no name"})
	b.woken(0)
	b.refused(target, fleet.ErrInvalid, `"B-C"`, "Secret/"+b.namespace+"/vars key B-C", "is not the name of a variable")
	b.putSecret("vars", map[string]string{"A": "x"})
	b.woken(1)
	if err := b.try(target); err != nil {
		t.Fatal(err)
	}
	b.wantData("it", map[string]string{"a": "x"})
	b.typed.CoreV1().Secrets(b.namespace).Delete(b.Context(), "vars", metav1.DeleteOptions{}) //nolint:errcheck // seen below
	b.woken(2)
	b.refused(target, fleet.ErrNotFound, "vars")
	b.wantData("it", map[string]string{"a": "x"})
}

func TestCommonMetadataTakesThePlaceOfWhatObjectsSayAndIsNotSubstituted(t *testing.T) {
	b := newBundle(t).start()
	b.release.CommonMetadata = &fleet.CommonMetadata{
		Labels: map[string]string{"team": "a"}, Annotations: map[string]string{"note": "${MISSING}"},
	}
	b.substituting(map[string]string{"A": "1"})
	labelled := strings.Replace(b.text("text", "a: x${A}"), "metadata:", "metadata:\n  labels: {team: b, tier: c}", 1)
	b.deploy(labelled, b.configMap("plain", "1", `,"labels":{"team":"b"}`))
	for _, name := range []string{"text", "plain"} {
		object := b.get(configMaps, name)
		if object.GetLabels()["team"] != "a" || object.GetAnnotations()["note"] != "${MISSING}" {
			t.Errorf("%s: labels %v, annotations %v", name, object.GetLabels(), object.GetAnnotations())
		}
	}
	if tier := b.get(configMaps, "text").GetLabels()["tier"]; tier != "c" {
		t.Errorf("tier %q", tier)
	}
	// Also what it says of how an object is treated holds.
	b.release.CommonMetadata.Annotations = map[string]string{"kustomize.toolkit.fluxcd.io/prune": "disabled"}
	b.deploy(labelled, b.configMap("plain", "1"))
	b.release.CommonMetadata = nil
	b.release.PruneGuard = "off"
	b.deploy(b.configMap("other", "1"))
	for _, name := range []string{"text", "plain"} {
		if b.get(configMaps, name) == nil {
			t.Errorf("%s was pruned", name)
		}
	}
}

func TestPatchesOfTheClusterComeBeforeItsVariables(t *testing.T) {
	b := newBundle(t).start()
	b.binding = fleet.Binding{
		Variables: map[string]string{"A": "1"},
		Patches: []fleet.Patch{{
			Patch:  `- {op: add, path: /data/patched, value: "x${A}"}`,
			Target: &fleet.PatchTarget{Kind: "ConfigMap", Name: "text|plain", LabelSelector: "team=a"},
		}},
	}
	b.release.CommonMetadata = &fleet.CommonMetadata{Labels: map[string]string{"team": "a"}}
	b.release.PostBuild = &fleet.PostBuild{SubstituteStrategy: fleet.SubstituteAlways}
	b.deploy(b.text("text", "a: x${A}"), b.configMap("plain", "1"), b.configMap("other", "1"))
	b.wantData("text", map[string]string{"a": "x1", "patched": "x1"})
	b.wantData("plain", map[string]string{"key": "1", "patched": "x1"})
	b.wantData("other", map[string]string{"key": "1"})

	// Drift of what was patched is undone, after a restart too.
	target := b.target(b.text("text", "a: x${A}"), b.configMap("plain", "1"), b.configMap("other", "1"))
	b.patch(configMaps, "plain", "kubectl-edit", `{"data":{"patched":"y"}}`)
	b.value(configMaps, "plain", "x1", "data", "patched")
	b.start().load(target)
	b.patch(configMaps, "plain", "kubectl-edit", `{"data":{"patched":"y"}}`)
	b.value(configMaps, "plain", "x1", "data", "patched")

	b.binding.Patches = nil
	b.deploy(b.text("text", "a: x${A}"), b.configMap("plain", "1"), b.configMap("other", "1"))
	b.wantData("plain", map[string]string{"key": "1"})
}

func TestAPatchThatRenamesIsRefusedByObjectAndPlace(t *testing.T) {
	b := newBundle(t).start()
	b.binding.Patches = []fleet.Patch{{Patch: `- {op: replace, path: /metadata/name, value: b}`, Target: &fleet.PatchTarget{Kind: "ConfigMap"}}}
	b.refused(b.target(b.configMap("a", "1")), fleet.ErrInvalid, "ConfigMap/"+b.namespace+"/a", "patch 1 of the 1 that the cluster gets changes the kind, namespace or name")
}

func TestTwoObjectsThatVariablesGiveTheSameNameAreRefused(t *testing.T) {
	b := newBundle(t).start()
	b.substituting(map[string]string{"A": "same", "B": "same"})
	b.refused(b.target(b.text("${A}", "a: b"), b.text("${B}", "a: b")), fleet.ErrInvalid, "${A}", "${B}", "are the same object, ConfigMap/"+b.namespace+"/same")
}
