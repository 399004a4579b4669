package apply

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/run"
)

// Mapping is where the objects of a kind are in the API.
type Mapping struct {
	Resource   schema.GroupVersionResource
	Namespaced bool
	// Custom kinds are defined by a CustomResourceDefinition.
	Custom bool
}

// CRDs is the resource of CustomResourceDefinitions.
var CRDs = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// Mapper finds the Mapping of a kind. It asks the API server for one group version at a time and keeps the answer, so
// that a broken aggregated API concerns only those who use it.
type Mapper struct {
	discovery *discovery.DiscoveryClient
	metadata  metadata.Interface

	mu     sync.Mutex
	served map[schema.GroupVersion]map[string]Mapping // by kind
}

// NewMapper returns a Mapper that asks by these clients.
func NewMapper(d *discovery.DiscoveryClient, m metadata.Interface) *Mapper {
	return &Mapper{discovery: d, metadata: m, served: map[schema.GroupVersion]map[string]Mapping{}}
}

// Map returns the mapping of ref's kind. The error wraps fleet.ErrNotFound exactly when the API server said that it has
// no such kind, which is never proof that its objects are gone: see Gone.
func (m *Mapper) Map(ctx context.Context, ref fleet.ObjectRef) (Mapping, error) {
	gv := schema.GroupVersion{Group: ref.Group, Version: ref.Version}
	if mapping, found := m.known(gv, ref.Kind); found {
		return mapping, nil
	}
	kinds, err := m.ask(ctx, gv)
	if err != nil {
		return Mapping{}, fmt.Errorf("discover %s: %w", gv, err)
	}
	mapping, found := kinds[ref.Kind]
	if !found {
		return Mapping{}, fmt.Errorf("%w: the cluster has no kind %s in %s", fleet.ErrNotFound, ref.Kind, ref.APIVersion())
	}
	return mapping, nil
}

// Served returns the mapping of ref's kind in ref's version or, where that is not served any more, in another one.
func (m *Mapper) Served(ctx context.Context, ref fleet.ObjectRef) (Mapping, error) {
	mapping, err := m.Map(ctx, ref)
	if err == nil || ref.Group == "" || !isNotFound(err) {
		return mapping, err
	}
	var group metav1.APIGroup
	getErr := m.discovery.RESTClient().Get().AbsPath("/apis", ref.Group).Do(ctx).Into(&group)
	if getErr != nil {
		if apierrors.IsNotFound(getErr) {
			return mapping, err
		}
		return mapping, fmt.Errorf("discover %s: %w", ref.Group, getErr)
	}
	for _, version := range group.Versions {
		other := ref
		other.Version = version.Version
		if mapping, otherErr := m.Map(ctx, other); otherErr == nil || !isNotFound(otherErr) {
			return mapping, otherErr
		}
	}
	return mapping, err
}

// Gone reports whether a kind that discovery does not list is gone with all its objects. Discovery alone does not
// tell: a definition may be there and not yet, or for the moment not, served.
func (m *Mapper) Gone(ctx context.Context, ref fleet.ObjectRef) (bool, error) {
	if builtIn(ref.Group) {
		return false, nil
	}
	var services struct {
		Items []struct {
			Spec struct {
				Group   string
				Service *struct{}
			}
		}
	}
	if err := m.read(ctx, &services, "/apis/apiregistration.k8s.io/v1/apiservices"); err != nil {
		return false, err
	}
	for _, service := range services.Items {
		if service.Spec.Group == ref.Group && service.Spec.Service != nil {
			return false, nil // aggregated: its objects are in somebody else's hands
		}
	}
	crds, err := m.metadata.Resource(CRDs).List(ctx, metav1.ListOptions{})
	if err != nil {
		return false, fmt.Errorf("list CustomResourceDefinitions: %w", err)
	}
	for _, crd := range crds.Items {
		if !strings.HasSuffix(crd.Name, "."+ref.Group) {
			continue
		}
		var definition struct {
			Spec struct{ Names struct{ Kind string } }
		}
		if err := m.read(ctx, &definition, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd.Name); err != nil {
			return false, err
		}
		if definition.Spec.Names.Kind == ref.Kind {
			return false, nil
		}
	}
	return true, nil
}

func (m *Mapper) read(ctx context.Context, into any, path ...string) error {
	raw, err := m.discovery.RESTClient().Get().AbsPath(path...).Do(ctx).Raw()
	if err == nil {
		err = json.Unmarshal(raw, into)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", strings.Join(path, "/"), err)
	}
	return nil
}

// Await waits until the API server serves ref's kind, after its definition was applied.
func (m *Mapper) Await(ctx context.Context, ref fleet.ObjectRef) (Mapping, error) {
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		mapping, err := m.Map(ctx, ref)
		if err == nil || !isNotFound(err) {
			return mapping, err
		}
		if cause := run.Sleep(ctx, wait); cause != nil {
			return mapping, fmt.Errorf("%w: %w", err, cause)
		}
	}
}

// Forget drops what is known of a group, after its definitions changed.
func (m *Mapper) Forget(group string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for gv := range m.served {
		if gv.Group == group {
			delete(m.served, gv)
		}
	}
}

func (m *Mapper) known(gv schema.GroupVersion, kind string) (Mapping, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	mapping, found := m.served[gv][kind]
	return mapping, found
}

func (m *Mapper) ask(ctx context.Context, gv schema.GroupVersion) (map[string]Mapping, error) {
	kinds := map[string]Mapping{}
	list, err := m.discovery.ServerResourcesForGroupVersionWithContext(ctx, gv.String())
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, err
	}
	if list != nil {
		for _, resource := range list.APIResources {
			if strings.Contains(resource.Name, "/") {
				continue // a subresource
			}
			kinds[resource.Kind] = Mapping{Resource: gv.WithResource(resource.Name), Namespaced: resource.Namespaced}
		}
	}
	if !builtIn(gv.Group) && len(kinds) > 0 {
		if err := m.markCustom(ctx, gv.Group, kinds); err != nil {
			return nil, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.served[gv] = kinds
	return kinds, nil
}

// markCustom finds out which kinds of a group are defined by a CustomResourceDefinition. The rest are an aggregated
// API's, of which nothing can be taken for granted.
func (m *Mapper) markCustom(ctx context.Context, group string, kinds map[string]Mapping) error {
	for kind, mapping := range kinds {
		name := mapping.Resource.Resource + "." + group
		switch _, err := m.metadata.Resource(CRDs).Get(ctx, name, metav1.GetOptions{}); {
		case err == nil:
			mapping.Custom = true
			kinds[kind] = mapping
		case !apierrors.IsNotFound(err):
			return fmt.Errorf("look for the definition %s: %w", name, err)
		}
	}
	return nil
}

// builtIn reports whether the API server itself serves the group. A suffix does not tell: gateway.networking.k8s.io is
// a custom group.
func builtIn(group string) bool {
	switch group {
	case "", "apps", "autoscaling", "batch", "extensions", "policy":
		return true
	}
	name, found := strings.CutSuffix(group, ".k8s.io")
	return found && slices.Contains([]string{
		"admissionregistration", "apiextensions", "apiregistration", "authentication", "authorization", "certificates",
		"coordination", "discovery", "events", "flowcontrol.apiserver", "internal.apiserver", "networking", "node",
		"rbac.authorization", "resource", "scheduling", "storage", "storagemigration",
	}, name)
}
