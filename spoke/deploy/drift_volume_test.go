package deploy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/health"
)

// withVolume is a Deployment with a volume from a ConfigMap.
func (b *bundle) withVolume() string {
	return strings.Replace(b.deployment("web", ""), `"containers"`, `"volumes":[{"name":"v","configMap":{"name":"a"}}],"containers"`, 1)
}

func (b *bundle) swapVolume(manager, source string) {
	b.Helper()
	b.patchJSON(deployments, "web", manager,
		`[{"op":"replace","path":"/spec/template/spec/volumes/0","value":{"name":"v",`+source+`}}]`)
}

func (b *bundle) volume() string {
	b.Helper()
	volumes, _, err := unstructured.NestedSlice(b.get(deployments, "web").Object, "spec", "template", "spec", "volumes")
	if err != nil {
		b.Fatal(err)
	}
	return fmt.Sprint(volumes)
}

func TestAVolumeSourceSwappedWithKubectlIsPutBack(t *testing.T) {
	b := newBundle(t).start()
	b.deploy(b.configMap("a", "1"), b.withVolume())
	b.swapVolume("kubectl-edit", `"emptyDir":{}`)
	b.eventually("it is a ConfigMap again", func() error {
		if volume := b.volume(); !strings.Contains(volume, "configMap") {
			return errors.New(volume)
		}
		return nil
	})
}

// An apply cannot take back what others own: it would give the volume two sources, which the API server refuses. A person
// is told which object and which field.
func TestAVolumeSourceSwappedByAnotherManagerIsAConflictUntilItIsTakenBack(t *testing.T) {
	b := newBundle(t).start()
	target := b.deploy(b.configMap("a", "1"), b.withVolume())
	b.healthy(fleet.True)
	b.swapVolume("someone", `"emptyDir":{}`)
	b.eventually("it is a conflict", func() error {
		s := b.status()
		if len(s.Conflicts) != 1 || s.Healthy.Status != fleet.False {
			return fmt.Errorf("the status is %+v", s)
		}
		for _, word := range []string{"Deployment/" + b.namespace + "/web", "spec.template.spec.volumes[0].configMap"} {
			if message := s.Healthy.Message; !strings.Contains(message, word) {
				t.Fatalf("%q is not in %s", word, message)
			}
		}
		return nil
	})
	if s := b.status(); s.NotReady[0].Status != health.Conflict || s.DriftCorrections != 0 || !strings.Contains(b.volume(), "emptyDir") {
		t.Errorf("the status is %+v, the volume %s", s, b.volume())
	}
	err := b.try(target)
	if !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), "/web: apply: ") || !strings.Contains(err.Error(), "volumes[0]") {
		t.Errorf("error %v", err)
	}
	b.swapVolume("someone", `"configMap":{"name":"a"}`)
	b.healthy(fleet.True)
	b.judged()
	if conflicts := b.status().Conflicts; len(conflicts) != 0 {
		t.Errorf("conflicts: %v", conflicts)
	}
}
