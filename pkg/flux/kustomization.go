package flux

import (
	"path"
	"strings"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
)

// KustomizeAPIVersion is the API version of Flux's Kustomization.
const KustomizeAPIVersion = "kustomize.toolkit.fluxcd.io/v1"

// Annotations of a Kustomization that are honoured.
const (
	RequestedAtAnnotation = "reconcile.fluxcd.io/requestedAt"
	PruneGuardAnnotation  = "fleet.flotilla.dev/prune-guard"
)

// DependsOnAnnotation orders Apps across kinds. It is refused: ignored, it would let an App go before what it needs.
const DependsOnAnnotation = "fleet.flotilla.dev/depends-on"

// Kustomization is the spec of the App kind of that name.
type Kustomization struct {
	Interval       *Duration            `json:"interval"`
	RetryInterval  *Duration            `json:"retryInterval,omitempty"`
	Timeout        *Duration            `json:"timeout,omitempty"`
	Path           string               `json:"path,omitempty"`
	SourceRef      SourceRef            `json:"sourceRef"`
	Prune          *bool                `json:"prune"`
	Wait           bool                 `json:"wait,omitempty"`
	Suspend        bool                 `json:"suspend,omitempty"`
	DeletionPolicy fleet.DeletionPolicy `json:"deletionPolicy,omitempty"`
}

// SourceRef names the Source an App is built from.
type SourceRef struct {
	APIVersion string `json:"apiVersion,omitempty"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	Namespace  string `json:"namespace,omitempty"`
}

// GetRetryInterval is the time between tries after a failure: the interval unless set.
func (k Kustomization) GetRetryInterval() time.Duration {
	if k.RetryInterval == nil {
		return k.Interval.Duration
	}
	return k.RetryInterval.Duration
}

// GetTimeout bounds a pass and the wait for health: the interval less 30 s, at least 30 s, unless set.
func (k Kustomization) GetTimeout() time.Duration {
	if k.Timeout == nil {
		return max(k.Interval.Duration-30*time.Second, 30*time.Second)
	}
	return max(k.Timeout.Duration, time.Second)
}

// Controls are what the spec says of what takes effect at once.
func (k Kustomization) Controls() fleet.Controls {
	return fleet.Controls{Suspend: k.Suspend, Interval: k.Interval.Duration, RetryInterval: k.GetRetryInterval(), Timeout: k.GetTimeout()}
}

// GetPath is the directory of the source's tree to build, without a leading or trailing slash; empty is the root.
func (k Kustomization) GetPath() string {
	return strings.TrimPrefix(path.Clean("/"+k.Path), "/")
}

// Deletes reports whether deleting the App deletes its objects: a suspended App leaves them, and MirrorPrune, the
// default, follows prune.
func (k Kustomization) Deletes() bool {
	switch {
	case k.Suspend:
		return false
	case k.DeletionPolicy == fleet.DeleteObjects || k.DeletionPolicy == fleet.WaitForTermination:
		return true
	case k.DeletionPolicy == fleet.OrphanObjects:
		return false
	}
	return k.Prune != nil && *k.Prune
}

// Validate returns the FieldErrors of k, which is declared in namespace.
func (k Kustomization) Validate(namespace string) error {
	var fields fleet.Fields
	positive(&fields, "spec.interval", k.Interval, required)
	positive(&fields, "spec.retryInterval", k.RetryInterval, optional)
	positive(&fields, "spec.timeout", k.Timeout, optional)
	if k.Prune == nil {
		fields.Require("spec.prune", "")
	}
	for _, part := range strings.Split(k.Path, "/") {
		if part == ".." {
			fields.Refuse("spec.path", "%q leaves the source", k.Path)
		}
	}
	k.SourceRef.validate(&fields, namespace)
	switch k.DeletionPolicy {
	case "", fleet.MirrorPrune, fleet.DeleteObjects, fleet.WaitForTermination, fleet.OrphanObjects:
	default:
		fields.Refuse("spec.deletionPolicy", "%q is not MirrorPrune, Delete, WaitForTermination or Orphan", k.DeletionPolicy)
	}
	return fields.Err()
}

func (r SourceRef) validate(fields *fleet.Fields, namespace string) {
	fields.Require("spec.sourceRef.name", r.Name)
	switch {
	case r.Kind == "":
		fields.Require("spec.sourceRef.kind", "")
	case r.Kind != "GitRepository":
		fields.Refuse("spec.sourceRef.kind", "%q: not supported yet (GitRepository is)", r.Kind)
	}
	if r.APIVersion != "" && r.APIVersion != SourceAPIVersion {
		fields.Refuse("spec.sourceRef.apiVersion", "%q is not %s", r.APIVersion, SourceAPIVersion)
	}
	if r.Namespace != "" && r.Namespace != namespace {
		fields.Refuse("spec.sourceRef.namespace", "another namespace (%q) is not supported yet", r.Namespace)
	}
}
