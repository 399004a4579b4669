package deploy_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"flotilla.dev/flotilla/pkg/fleet"
)

// scaled is a Deployment with replicas that it sets itself.
func (b *bundle) scaled(replicas, history int) string {
	return strings.Replace(b.deployment("web", ""), `"revisionHistoryLimit":3`, fmt.Sprintf(`"replicas":%d,"revisionHistoryLimit":%d`, replicas, history), 1)
}

// replicas leaves them to others.
func replicas(target *fleet.PatchTarget) []fleet.IgnoreRule {
	return []fleet.IgnoreRule{{Paths: []string{"/spec/replicas"}, Target: target}}
}

func TestFieldsThatAreIgnoredStayAsOthersHaveThem(t *testing.T) {
	scale := func(b *bundle, n int) {
		_, err := b.client.Resource(deployments).Namespace(b.namespace).Patch(b.Context(), "web", types.MergePatchType,
			fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, n), metav1.PatchOptions{FieldManager: "scaler"}, "scale")
		if err != nil {
			b.Fatal(err)
		}
	}
	for name, set := range map[string]func(b *bundle, n int){
		"by an autoscaler": scale,
		"by an update": func(b *bundle, n int) {
			b.patch(deployments, "web", "someone", fmt.Sprintf(`{"spec":{"replicas":%d}}`, n))
		},
		"with kubectl": func(b *bundle, n int) {
			b.patch(deployments, "web", "kubectl-edit", fmt.Sprintf(`{"spec":{"replicas":%d}}`, n))
		},
		"by an apply": func(b *bundle, n int) {
			object := fmt.Sprintf(`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"},"spec":{"replicas":%d}}`, n)
			if err := b.apply(deployments, "web", "someone", object, true); err != nil {
				b.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBundle(t).start()
			b.release.Ignore = replicas(&fleet.PatchTarget{Group: "apps", Kind: "Deploy.*", LabelSelector: ownerName + "=app"})
			target := b.deploy(b.scaled(1, 3))
			b.value(deployments, "web", 1, "spec", "replicas")
			for n := 2; n <= 3; n++ {
				set(b, n)
				b.judged()
				b.value(deployments, "web", n, "spec", "replicas")
			}
			if n := b.status().DriftCorrections; n != 0 && name != "with kubectl" { // whose entry is taken over
				t.Errorf("%d corrections", n)
			}

			// So they do in a full pass, with other content, and while drift beside them is put back.
			target.Verify = true
			if err := b.try(target); err != nil {
				t.Fatal(err)
			}
			b.value(deployments, "web", 3, "spec", "replicas")
			b.deploy(b.scaled(1, 4))
			b.value(deployments, "web", 4, "spec", "revisionHistoryLimit")
			b.value(deployments, "web", 3, "spec", "replicas")
			b.patch(deployments, "web", "someone", `{"spec":{"revisionHistoryLimit":9}}`)
			b.value(deployments, "web", 4, "spec", "revisionHistoryLimit")
			b.value(deployments, "web", 3, "spec", "replicas")
			if name == "by an apply" {
				for _, entry := range b.get(deployments, "web").GetManagedFields() {
					if entry.Manager == "kustomize-controller" && strings.Contains(string(entry.FieldsV1.GetRawString()), "f:replicas") {
						t.Error("what another one applies is ours too")
					}
				}
			}

			// Wanted again, they are put back at once.
			b.release.Ignore = nil
			b.deploy(b.scaled(1, 4))
			b.value(deployments, "web", 1, "spec", "replicas")
		})
	}
}

func TestAFieldThatIsIgnoredAndNoLongerSetIsNotRemoved(t *testing.T) {
	b := newBundle(t).start()
	b.release.Ignore = []fleet.IgnoreRule{{Paths: []string{"/metadata/annotations/mine~1too"}}}
	b.deploy(b.configMap("a", "1", annotations("mine/too", "1")), b.configMap("b", "1"))
	b.deploy(b.configMap("a", "2"), b.configMap("b", "1"))
	b.value(configMaps, "a", "2", "data", "key")
	b.value(configMaps, "a", "1", "metadata", "annotations", "mine/too")
}

func TestAFieldThatIsIgnoredAndRemovedStaysAway(t *testing.T) {
	b := newBundle(t).start()
	b.release.Ignore = []fleet.IgnoreRule{{Paths: []string{"/data/key"}, Target: &fleet.PatchTarget{Name: "a"}}}
	b.deploy(b.configMap("a", "1"), b.configMap("ab", "1"))
	for _, name := range []string{"a", "ab"} {
		b.patch(configMaps, name, "someone", `{"data":{"key":null,"other":"x"}}`)
	}
	b.value(configMaps, "ab", "1", "data", "key")
	b.judged()
	b.deploy(b.configMap("a", "2", annotations("x", "y")), b.configMap("ab", "1"))
	b.value(configMaps, "a", "y", "metadata", "annotations", "x")
	b.value(configMaps, "a", nil, "data", "key")

	// Deleted, it is made whole.
	b.delete(configMaps, "a")
	b.value(configMaps, "a", "2", "data", "key")
}

// What kubectl sets becomes ours, so that its value is sent; what others set is left out.
func TestAnElementOfAListIsIgnoredWhereverItIs(t *testing.T) {
	for _, manager := range []string{"someone", "kubectl-edit"} {
		t.Run("as set by "+manager, func(t *testing.T) {
			b := newBundle(t).start()
			b.release.Ignore = []fleet.IgnoreRule{{Paths: []string{"/spec/template/spec/containers/0/image"}}}
			b.deploy(b.deployment("web", ""))
			b.patchJSON(deployments, "web", "someone", `[{"op":"add","path":"/spec/template/spec/containers/0","value":{"name":"sidecar","image":"example.com/sidecar:1"}}]`)
			b.judged()
			theirs := `{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"example.com/app:theirs"}]}}}}`
			if _, err := b.client.Resource(deployments).Namespace(b.namespace).
				Patch(b.Context(), "web", types.StrategicMergePatchType, []byte(theirs), metav1.PatchOptions{FieldManager: manager}); err != nil {
				t.Fatal(err)
			}
			b.judged()
			b.deploy(strings.Replace(b.deployment("web", ""), `"revisionHistoryLimit":3`, `"revisionHistoryLimit":4`, 1))
			images := map[any]any{}
			spec := b.get(deployments, "web").Object["spec"].(map[string]any)
			for _, container := range spec["template"].(map[string]any)["spec"].(map[string]any)["containers"].([]any) {
				images[container.(map[string]any)["name"]] = container.(map[string]any)["image"]
			}
			if len(images) != 2 || images["sidecar"] != "example.com/sidecar:1" || !strings.Contains(fmt.Sprint(images), "example.com/app:theirs") {
				t.Errorf("the images are %v", images)
			}
		})
	}
}

func TestARuleCannotTakeAnObjectsIdentity(t *testing.T) {
	b := newBundle(t).start()
	b.release.Ignore = []fleet.IgnoreRule{{Paths: []string{"/metadata/labels"}}}
	b.deploy(b.configMap("a", "1"))
	b.patch(configMaps, "a", "someone", fmt.Sprintf(`{"metadata":{"labels":{%q:"other","x":"y"}}}`, ownerName))
	b.value(configMaps, "a", "app", "metadata", "labels", ownerName)
	b.value(configMaps, "a", "y", "metadata", "labels", "x")
}

func TestARuleThatMakesNoSenseIsRefused(t *testing.T) {
	b := newBundle(t).start()
	b.release.Ignore = []fleet.IgnoreRule{{Paths: []string{"/data/key"}, Target: &fleet.PatchTarget{Name: "("}}}
	if err := b.try(b.target(b.configMap("a", "1"))); err == nil || !strings.Contains(err.Error(), "spec.ignore[0].target.name") {
		t.Errorf("error %v", err)
	}
}

// What the rules were is not known then, though what was seen of the objects is.
func TestRulesThatChangeBeforeAnAppThatIsNotLoadedAreFollowed(t *testing.T) {
	b := newBundle(t).start()
	b.release.Ignore = replicas(nil)
	b.deploy(b.scaled(1, 3))
	b.patch(deployments, "web", "someone", `{"spec":{"replicas":3}}`)
	b.judged()
	b.eventually("what was seen is on disk", func() error {
		seen := fmt.Sprintf(`"Clean":%s,`, b.get(deployments, "web").GetResourceVersion())
		if !strings.Contains(filesUnder(b.T, b.dir), seen) {
			return errors.New("it is not")
		}
		return nil
	})
	b.kill()
	b.release.Ignore = nil
	b.start()
	b.deploy(b.scaled(1, 3))
	b.value(deployments, "web", 1, "spec", "replicas")
}

// What another one writes after the object was read, and before it is applied, stays too.
func TestAnIgnoredFieldThatIsSetAtTheSameTimeStays(t *testing.T) {
	b := newBundle(t)
	var left atomic.Int32
	b.wrap = func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodPatch && strings.HasSuffix(r.URL.Path, "/deployments/web") && !r.URL.Query().Has("dryRun") && left.Add(-1) >= 0 {
				b.patch(deployments, "web", "someone", fmt.Sprintf(`{"spec":{"replicas":%d}}`, 5+left.Load()))
			}
			return next.RoundTrip(r)
		})
	}
	b.start()
	b.release.Ignore = replicas(nil)
	b.deploy(b.scaled(1, 3))
	b.judged()
	left.Store(3)
	b.deploy(b.scaled(1, 4))
	b.value(deployments, "web", 4, "spec", "revisionHistoryLimit")
	b.value(deployments, "web", 5, "spec", "replicas")
	if left.Load() > 0 {
		t.Error("nobody wrote at the same time")
	}
}
