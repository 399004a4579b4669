package deploy_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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

// watched reports whether the engine has asked for a watch of one object.
func (b *bundle) watched(resource, name string) error {
	requests, err := b.cluster.Requests(b.Context())
	if err != nil {
		return err
	}
	found := requests.Where(func(r labRequest) bool {
		return r.UserAgent == b.agent && r.Verb == "watch" && r.Resource == resource && r.Namespace == b.namespace
	})
	if len(found) == 0 {
		return fmt.Errorf("%s %s is not watched", resource, name)
	}
	return nil
}

// woken waits until the engine calls for a pass once more than before.
func (b *bundle) woken(before uint64) {
	b.Helper()
	b.eventually("the wake-up", func() error {
		if wakes := b.status().Wakes; wakes <= before {
			return fmt.Errorf("%d wake-ups", wakes)
		}
		return nil
	})
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

func TestAChangedVariableReappliesOnlyWhatUsesIt(t *testing.T) {
	b := newBundle(t).start()
	b.putConfigMap("vars", map[string]string{"A": "1", "B": "1"})
	b.substituting(nil, fleet.SubstituteReference{Kind: "ConfigMap", Name: "vars"})
	target := b.deploy(b.text("a", "a: x${A}"), b.text("b", "b: x${B}"), b.configMap("plain", "1"))
	// The watch of the variables begins after the pass.
	b.eventually("the watch", func() error { return b.watched("configmaps", "vars") })

	b.mu.Lock()
	reads := b.reads
	b.mu.Unlock()
	idle := b.requests(func() {
		if err := b.try(target); err != nil {
			t.Fatal(err)
		}
	})
	b.mu.Lock()
	if b.reads != reads {
		t.Errorf("an unchanged pass looked at %d blobs", b.reads-reads)
	}
	b.mu.Unlock()
	if len(idle) != 1 || idle[0].Verb != "get" || idle[0].Name != "vars" {
		t.Errorf("an unchanged pass asked %v; it has to read the variables, and nothing else", idle)
	}
	b.putConfigMap("vars", map[string]string{"A": "2", "B": "1"})
	b.woken(0)
	changed := b.requests(func() {
		if err := b.try(target); err != nil {
			t.Fatal(err)
		}
	})
	for _, r := range changed {
		if r.Name != "vars" && r.Name != "a" {
			t.Errorf("a pass with another A asked %v", r)
		}
	}
	b.wantData("a", map[string]string{"a": "x2"})
	b.wantData("b", map[string]string{"b": "x1"})
}

func TestDriftOfAResolvedObjectIsUndoneWithWhatItWasAppliedWith(t *testing.T) {
	b := newBundle(t).start()
	b.putSecret("vars", map[string]string{"A": "1"})
	b.substituting(nil, fleet.SubstituteReference{Kind: "Secret", Name: "vars"})
	target := b.deploy(b.text("it", "a: x${A}"))
	b.patch(configMaps, "it", "kubectl-edit", `{"data":{"a":"y"}}`)
	b.value(configMaps, "it", "x1", "data", "a")

	// What the variables are by now is the next pass's business.
	b.putSecret("vars", map[string]string{"A": "2"})
	b.patch(configMaps, "it", "kubectl-edit", `{"data":{"a":"y"}}`)
	b.value(configMaps, "it", "x1", "data", "a")

	// After a restart the object is not what the variables say: a pass applies it.
	b.start().load(target)
	if b.status().Applied == target.Release.Digest() {
		t.Error("the release counts as applied with other variables")
	}
	if err := b.try(target); err != nil {
		t.Fatal(err)
	}
	b.wantData("it", map[string]string{"a": "x2"})
	b.start().load(target)
	if b.status().Applied != target.Release.Digest() {
		t.Error("the release does not count as applied after a restart")
	}
	b.patch(configMaps, "it", "kubectl-edit", `{"data":{"a":"y"}}`)
	b.value(configMaps, "it", "x2", "data", "a")
	if blobs := b.engine.AppliedBlobs(b.app); !slices.Equal(blobs, []fleet.Digest{target.Manifest.Entries[0].Digest}) {
		t.Errorf("the object is made of %v, want the text of the Manifest", blobs)
	}
}

func TestAnObjectThatStaysTheSameIsMadeOfWhatTheNewestManifestHas(t *testing.T) {
	b := newBundle(t).start()
	plain := b.deploy(b.text("it", "a: x1"))
	madeOf := func(target deploy.Target) {
		t.Helper()
		if blobs := b.engine.AppliedBlobs(b.app); !slices.Equal(blobs, []fleet.Digest{target.Manifest.Entries[0].Digest}) {
			t.Errorf("it is made of %v, want the blob of the newest Manifest", blobs)
		}
		b.patch(configMaps, "it", "kubectl-edit", `{"data":{"a":"y"}}`)
		b.value(configMaps, "it", "x1", "data", "a")
	}
	madeOf(plain)
	b.substituting(map[string]string{"A": "1"})
	resolved := b.target(b.text("it", "a: x${A}"))
	for _, r := range b.requests(func() {
		if err := b.try(resolved); err != nil {
			t.Fatal(err)
		}
	}) {
		t.Errorf("the same content is applied again: %v", r)
	}
	b.mu.Lock()
	delete(b.blobs, plain.Manifest.Entries[0].Digest)
	b.mu.Unlock()
	madeOf(resolved)
	b.release.PostBuild = nil
	madeOf(b.deploy(b.text("it", "a: x1")))
}

func TestARestartWithoutTheVariablesTakesUpTheRestAndHoldsNothing(t *testing.T) {
	b := newBundle(t).start()
	b.putConfigMap("vars", map[string]string{"NAME": "named"})
	b.substituting(nil, fleet.SubstituteReference{Kind: "ConfigMap", Name: "vars"})
	target := b.deploy(b.text("${NAME}", "a: b"), b.configMap("plain", "1"))
	b.kill()
	b.delete(configMaps, "vars")
	b.start().load(target)
	b.patch(configMaps, "plain", "kubectl-edit", `{"data":{"key":"2"}}`)
	b.value(configMaps, "plain", "1", "data", "key")
	if s := b.status(); s.HeldPrune != nil || s.Applied == target.Release.Digest() {
		t.Errorf("status %+v: what has no name yet is not to be pruned, nor applied", s)
	}
	b.refused(target, fleet.ErrNotFound, "vars")
	b.wantData("named", map[string]string{"a": "b"})
	b.putConfigMap("vars", map[string]string{"NAME": "named"})
	if err := b.try(target); err != nil {
		t.Fatal(err)
	}
	b.patch(configMaps, "named", "kubectl-edit", `{"data":{"a":"c"}}`)
	b.value(configMaps, "named", "b", "data", "a")
}

func TestTwoObjectsThatVariablesGiveTheSameNameAreRefused(t *testing.T) {
	b := newBundle(t).start()
	b.substituting(map[string]string{"A": "same", "B": "same"})
	b.refused(b.target(b.text("${A}", "a: b"), b.text("${B}", "a: b")), fleet.ErrInvalid, "${A}", "${B}", "are the same object, ConfigMap/"+b.namespace+"/same")
}

func TestNoValueOfASecretIsShownOrKept(t *testing.T) {
	const canary = "c4n4ry-value"
	b := newBundle(t)
	var log lockedBuffer
	b.logged = &log
	var refusing atomic.Bool
	b.wrap = func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if !refusing.Load() || r.Method != http.MethodPatch || !strings.HasSuffix(r.URL.Path, "/configmaps/it") {
				return next.RoundTrip(r)
			}
			answer := `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Invalid","code":422,"message":"Invalid value: ` + canary + `"}`
			return &http.Response{
				StatusCode: http.StatusUnprocessableEntity, Header: http.Header{"Content-Type": {"application/json"}},
				Body: io.NopCloser(strings.NewReader(answer)), Request: r,
			}, nil
		})
	}
	b.start()
	b.putSecret("vars", map[string]string{"CANARY": canary, "ALIAS": "*" + canary, "OPEN": "{" + canary})
	b.substituting(map[string]string{"PLAIN": "1"}, fleet.SubstituteReference{Kind: "Secret", Name: "vars"})
	plainStamp := b.deploy(b.text("it", "a: ${CANARY}"))
	b.patch(configMaps, "it", "kubectl-edit", `{"data":{"a":"y"}}`)
	b.value(configMaps, "it", canary, "data", "a")

	var said strings.Builder
	for name, document := range map[string]string{
		"refused by the API server": fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: %s}\nspec: {ports: [{port: 1, name: \"${CANARY}___\"}]}\n", b.namespace),
		"does not fit the schema":   fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: %s}\nspec: {ports: \"${CANARY}\"}\n", b.namespace),
		"no YAML any more":          b.text("it", "a: ${ALIAS}"),
		"nor is this":               b.text("it", "a: ${OPEN}"),
		"no name":                   fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"${CANARY}/\", namespace: %s}\n", b.namespace),
		"undefined":                 b.text("it", "a: ${CANARY} ${UNDEFINED}"),
	} {
		err := b.try(b.target(document))
		if err == nil {
			t.Errorf("%s: it was taken", name)
			continue
		}
		said.WriteString(err.Error() + "\n")
	}
	b.start().load(plainStamp)
	refusing.Store(true)
	b.patch(configMaps, "it", "kubectl-edit", `{"data":{"a":"y"}}`)
	b.eventually("the correction that is refused", func() error {
		if conflicts := b.status().Conflicts; len(conflicts) == 0 {
			return errors.New("it is not told of")
		}
		return nil
	})
	fmt.Fprintf(&said, "%+v\n%s\n%s\n", b.status(), b.entries(), log.String())
	b.mu.Lock()
	fmt.Fprintf(&said, "%+v\n", b.events)
	b.mu.Unlock()
	said.WriteString(filesUnder(t, b.dir))
	if text := said.String(); strings.Contains(text, canary) {
		at := strings.Index(text, canary)
		t.Errorf("a value of a Secret is shown: %s", text[max(0, at-200):min(len(text), at+100)])
	}
	// Nor can it be tried out: the inventory does not have the digest of the content.
	content := fmt.Sprintf(`{"apiVersion":"v1","data":{"a":%q},"kind":"ConfigMap","metadata":{"name":"it","namespace":%q}}`, canary, b.namespace)
	if strings.Contains(said.String(), fleet.DigestOf([]byte(content)).String()) {
		t.Error("the inventory has the digest of content with a value of a Secret")
	}
}

func TestWhatAppsReferToIsWatchedOnceAndNoLongerThanTheyDo(t *testing.T) {
	b := newBundle(t).start()
	b.putConfigMap("vars", map[string]string{"A": "1"})
	b.substituting(nil, fleet.SubstituteReference{Kind: "ConfigMap", Name: "vars"})
	b.deploy(b.text("it", "a: x${A}"))
	second := b.target(b.text("other", "a: x${A}"))
	second.App.Name, second.Release.App.Name = "second", "second"
	if err := b.try(second); err != nil {
		t.Fatal(err)
	}
	b.eventually("the watch", func() error { return b.watched("configmaps", "vars") })
	b.putConfigMap("vars", map[string]string{"A": "2"})
	b.woken(0)
	b.eventually("the second App's wake-up", func() error {
		if b.engine.Status(second.App).Wakes == 0 {
			return errors.New("none")
		}
		return nil
	})
	if n := b.engine.Referred(); n != 1 {
		t.Errorf("%d watches for one ConfigMap", n)
	}
	for _, app := range []fleet.Key{b.app, second.App} {
		if done, err := b.engine.Remove(b.Context(), deploy.Removal{App: app}); !done || err != nil {
			t.Fatalf("remove: %v, %v", done, err)
		}
	}
	b.eventually("the end of the watch", func() error {
		if n := b.engine.Referred(); n != 0 {
			return fmt.Errorf("%d watches", n)
		}
		return nil
	})
}

// lockedBuffer is a log that can be read while it is written.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// filesUnder is the content of all files of a directory.
func filesUnder(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		all.Write(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
