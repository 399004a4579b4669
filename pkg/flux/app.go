package flux

import (
	"encoding/json"
	"fmt"

	"flotilla.dev/flotilla/pkg/fleet"
)

// App is what the spec of an App says, whatever its kind.
type App interface {
	// Refers is what the spec names as that which the App is made of, and the field that does.
	Refers() (field string, ref SourceRef)
	// Source is what the App of that namespace and name is built from: what it refers to, or what is made of that for it.
	Source(namespace, name string) SourceRef
	// Suspended Apps stay what they are.
	Suspended() bool
	// Controls are what the spec and the annotations say of what takes effect at once.
	Controls(annotations map[string]string) fleet.Controls
	// Terms are what the spec and the annotations say of a Release, beside what was built.
	Terms(annotations map[string]string) fleet.Terms
	// Dependencies are what an App declared in namespace depends on.
	Dependencies(namespace string, annotations map[string]string) []fleet.Dependency
	// Deletion is what the deletion of the App does to what it made, by a policy that takes the place of its own (empty:
	// none does), and whether one waits until that is gone.
	Deletion(policy fleet.DeletionPolicy) (remove, wait bool)
	// Expressions are those of the spec: of health, and of the dependencies in their order.
	Expressions() (health []fleet.HealthCheckExpr, ready []string)
}

// The App kinds.
const (
	KustomizationKind = "Kustomization"
	HelmReleaseKind   = fleet.HelmReleaseKind
)

// DecodeApp reads the stored spec of an App of that kind.
func DecodeApp(kind string, spec []byte) (App, error) {
	switch kind {
	case KustomizationKind:
		return decodeApp[Kustomization](spec)
	case HelmReleaseKind:
		return decodeApp[HelmRelease](spec)
	}
	return nil, fmt.Errorf("%w: a %s is no App", fleet.ErrInvalid, kind)
}

func decodeApp[T App](data []byte) (App, error) {
	var spec T
	if err := json.Unmarshal(data, &spec); err != nil {
		return nil, fmt.Errorf("spec: %w", err)
	}
	return spec, nil
}

// Denied says why an App of a namespace may not have its Source where those of other namespaces are not allowed; nil: it
// may.
func Denied(app App, namespace string) error {
	field, ref := app.Refers()
	if ref.NamespaceFor(namespace) == namespace {
		return nil
	}
	return fmt.Errorf("%s: %s is in another namespace than %s, and references across namespaces are blocked: name a source in %s, or start the hub with --allow-cross-namespace-refs",
		field, ref.In(namespace), namespace, namespace)
}

// WaitsFor reports whether the hub keeps a new Release of an App back until that dependency, declared as on, is built at
// the Source's Revision: both are of one Source. One with a readyExpr is the spoke's alone to judge, as in Flux.
func WaitsFor(key fleet.Key, app App, d fleet.Dependency, on App) bool {
	return d.ReadyExpr == "" && app.Source(key.Namespace, key.Name).In(key.Namespace) == on.Source(d.Namespace, d.Name).In(d.Namespace)
}
