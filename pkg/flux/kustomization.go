package flux

import (
	"cmp"
	"path"
	"strings"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
)

// KustomizeAPIVersion is the API version of Flux's Kustomization.
const KustomizeAPIVersion = "kustomize.toolkit.fluxcd.io/v1"

// Annotations of an App that are honoured.
const (
	RequestedAtAnnotation = "reconcile.fluxcd.io/requestedAt"
	PruneGuardAnnotation  = "fleet.flotilla.dev/prune-guard"
	// DependsOnAnnotation orders Apps across kinds: "HelmRelease/NAMESPACE/NAME[,...]".
	DependsOnAnnotation = "fleet.flotilla.dev/depends-on"
)

// ReleaseAnnotations are those that are part of a Release, like fields of the spec.
var ReleaseAnnotations = []string{PruneGuardAnnotation, DependsOnAnnotation, SubstituteValuesAnnotation}

// Kustomization is the spec of the App kind of that name.
type Kustomization struct {
	Interval       *Duration            `json:"interval"`
	RetryInterval  *Duration            `json:"retryInterval,omitempty"`
	Timeout        *Duration            `json:"timeout,omitempty"`
	Path           string               `json:"path,omitempty"`
	SourceRef      SourceRef            `json:"sourceRef"`
	Prune          *bool                `json:"prune"`
	Suspend        bool                 `json:"suspend,omitempty"`
	DeletionPolicy fleet.DeletionPolicy `json:"deletionPolicy,omitempty"`
	DependsOn      []DependencyRef      `json:"dependsOn,omitempty"`
	// KubeConfig is refused: what is applied elsewhere is a Placement's to say.
	KubeConfig *KubeConfigRef `json:"kubeConfig,omitempty"`
	fleet.BuildSpec
	fleet.ReleaseSpec
}

// SourceRef names the Source an App is built from.
type SourceRef struct {
	APIVersion string `json:"apiVersion,omitempty"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	Namespace  string `json:"namespace,omitempty"`
}

// NamespaceFor is the namespace of the Source that an App of a namespace is built from.
func (r SourceRef) NamespaceFor(app string) string { return cmp.Or(r.Namespace, app) }

// Key is the Key of the Source that an App of a namespace is built from.
func (r SourceRef) Key(app string) fleet.Key {
	return fleet.Key{Home: fleet.HubHome, Kind: r.Kind, Namespace: r.NamespaceFor(app), Name: r.Name}
}

// In is "Kind/namespace/name" of the Source that an App of a namespace is built from.
func (r SourceRef) In(app string) string {
	return r.Kind + "/" + r.NamespaceFor(app) + "/" + r.Name
}

// DependencyRef names an App of the same kind that has to be ready first; no Namespace: that of the one that depends on it.
type DependencyRef struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"`
	ReadyExpr string `json:"readyExpr,omitempty"`
}

// KubeConfigRef names where Flux finds the credentials of another cluster.
type KubeConfigRef struct {
	ConfigMapRef *fleet.LocalReference `json:"configMapRef,omitempty"`
	SecretRef    *SecretKeyRef         `json:"secretRef,omitempty"`
}

// SecretKeyRef names a key of a Secret of the same namespace.
type SecretKeyRef struct {
	Name string `json:"name"`
	Key  string `json:"key,omitempty"`
}

// GetRetryInterval is the time between tries after a failure: the interval unless set.
func (k Kustomization) GetRetryInterval() time.Duration {
	if k.RetryInterval == nil {
		return k.Interval.Duration
	}
	return k.RetryInterval.Duration
}

// GetTimeout bounds a pass and the wait for health: the interval less 30 s, at least 30 s, unless set. Flux makes 30 s of
// a shorter one that is set; here it counts as it is, but for less than a second.
func (k Kustomization) GetTimeout() time.Duration {
	if k.Timeout == nil {
		return max(k.Interval.Duration-30*time.Second, 30*time.Second)
	}
	return max(k.Timeout.Duration, time.Second)
}

// Refers implements App.
func (k Kustomization) Refers() (field string, ref SourceRef) { return "spec.sourceRef", k.SourceRef }

// Source implements App.
func (k Kustomization) Source(_, _ string) SourceRef { return k.SourceRef }

// Suspended implements App.
func (k Kustomization) Suspended() bool { return k.Suspend }

// Controls implements App.
func (k Kustomization) Controls(annotations map[string]string) fleet.Controls {
	return fleet.Controls{Suspend: k.Suspend, Interval: k.Interval.Duration, RetryInterval: k.GetRetryInterval(), Timeout: k.GetTimeout(),
		RequestedAt: annotations[RequestedAtAnnotation]}
}

// Terms implements App.
func (k Kustomization) Terms(annotations map[string]string) fleet.Terms {
	return fleet.Terms{Prune: *k.Prune, PruneGuard: annotations[PruneGuardAnnotation], ReleaseSpec: k.ReleaseSpec}
}

// GetPath is the directory of the source's tree to build, without a leading or trailing slash; empty is the root.
func (k Kustomization) GetPath() string {
	return strings.TrimPrefix(path.Clean("/"+k.Path), "/")
}

// Deletion implements App: a suspended App leaves its objects, and MirrorPrune, the default, follows prune.
func (k Kustomization) Deletion(policy fleet.DeletionPolicy) (remove, wait bool) {
	if policy != "" {
		k.DeletionPolicy, k.Suspend = policy, false
	}
	wait = k.DeletionPolicy == fleet.WaitForTermination
	switch {
	case k.Suspend:
		return false, wait
	case k.DeletionPolicy == fleet.DeleteObjects || wait:
		return true, wait
	case k.DeletionPolicy == fleet.OrphanObjects:
		return false, false
	}
	return k.Prune != nil && *k.Prune, false
}

// Expressions implements App.
func (k Kustomization) Expressions() (health []fleet.HealthCheckExpr, ready []string) {
	return k.HealthCheckExprs, readyExprs(k.DependsOn)
}
