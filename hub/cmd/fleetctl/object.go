package main

import (
	"encoding/json"
	"fmt"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

// object is what the hub shows of a declared object, or of an App's instance in a cluster.
type object struct {
	raw  json.RawMessage
	kind resource.Kind

	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   resource.Metadata `json:"metadata"`
	Spec       json.RawMessage   `json:"spec"`
	Type       string            `json:"type"`
	Status     objectStatus      `json:"-"`
}

// objectStatus is every kind's status in one: a kind has its own fields of it.
type objectStatus struct {
	ObservedGeneration     int64           `json:"observedGeneration"`
	Conditions             []condition     `json:"conditions"`
	LastHandledReconcileAt string          `json:"lastHandledReconcileAt"`
	LastAppliedRevision    string          `json:"lastAppliedRevision"`
	LastAttemptedRevision  string          `json:"lastAttemptedRevision"`
	Artifact               *artifactStatus `json:"artifact"`
	Fleet                  fleetStatus     `json:"fleet"`
	Rollout                appRollout      `json:"rollout"`
	Matched                []string        `json:"matched"`
	WebhookPath            string          `json:"webhookPath"`
	ClusterID              string          `json:"clusterID"`
	LastSeen               string          `json:"lastSeen"`
	SpokeVersion           string          `json:"spokeVersion"`
	KubernetesVersion      string          `json:"kubernetesVersion"`
	Apps                   appCounts       `json:"apps"`
	UnknownAssignments     []string        `json:"unknownAssignments"`
	// History is that of a HelmRelease in a cluster.
	History []fleet.HelmSnapshot `json:"history"`
}

// appRollout is what the status of an App says of its Rollout; without an id: there is none.
type appRollout struct {
	ID    string `json:"id"`
	Phase string `json:"phase"`
	// QueuedReason is why one waits that has not begun.
	QueuedReason string `json:"queuedReason"`
	WaveNumber   int    `json:"waveNumber"`
	Waves        int    `json:"waves"`
	// Stable is the digest of the Release that clusters get which are new or were away.
	Stable         string `json:"stable"`
	StableRevision string `json:"stableRevision"`
}

// stableText is the revision of what is stable, and the Release; empty: nothing is.
func (r appRollout) stableText() string {
	if r.StableRevision == "" {
		return r.Stable
	}
	return r.StableRevision + " (" + r.Stable + ")"
}

type condition struct {
	Type               string `json:"type"`
	Status             string `json:"status"`
	Reason             string `json:"reason"`
	Message            string `json:"message"`
	LastTransitionTime string `json:"lastTransitionTime"`
	ObservedGeneration int64  `json:"observedGeneration"`
}

type artifactStatus struct {
	Revision       string `json:"revision"`
	Digest         string `json:"digest"`
	LastUpdateTime string `json:"lastUpdateTime"`
}

// fleetStatus is of an App its clusters by state, of an instance what its spoke reported.
type fleetStatus struct {
	Total       int `json:"total"`
	Ready       int `json:"ready"`
	Progressing int `json:"progressing"`
	Failed      int `json:"failed"`
	Unknown     int `json:"unknown"`
	Suspended   int `json:"suspended"`
	Held        int `json:"held"`

	Generation uint64               `json:"generation"`
	Release    string               `json:"release"`
	ReportedAt string               `json:"reportedAt"`
	Connected  bool                 `json:"connected"`
	NotReady   []fleet.ObjectStatus `json:"notReady"`
	PruneHeld  *heldPrune           `json:"pruneHeld"`
}

type heldPrune struct {
	Digest string `json:"digest"`
	Count  int    `json:"count"`
	Reason string `json:"reason"`
}

type appCounts struct {
	Total  int `json:"total"`
	Ready  int `json:"ready"`
	Failed int `json:"failed"`
}

// readObject reads what the hub sent. A status that a newer hub shapes otherwise is read as far as it goes. Of a
// Secret the content is dropped, whatever the hub sent.
func readObject(raw []byte) (*object, error) {
	o := &object{raw: raw}
	var rest struct {
		Status json.RawMessage `json:"status"`
	}
	if err := json.Unmarshal(raw, o); err != nil {
		return nil, fmt.Errorf("read an object from the hub: %w", err)
	}
	if err := json.Unmarshal(raw, &rest); err == nil && len(rest.Status) > 0 {
		_ = json.Unmarshal(rest.Status, &o.Status) // as far as it goes
	}
	o.kind, _ = resource.KindOf(o.Kind)
	if o.Kind == resource.Secret.Name {
		return o, o.dropContent()
	}
	return o, nil
}

func (o *object) dropContent() error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(o.raw, &fields); err != nil {
		return fmt.Errorf("read a Secret from the hub: %w", err)
	}
	delete(fields, "data")
	delete(fields, "stringData")
	raw, err := json.Marshal(fields)
	o.raw = raw
	return err
}

// ref names o.
func (o *object) ref() ref {
	return ref{
		kind: o.kind, namespace: o.Metadata.Namespace, name: o.Metadata.Name,
		cluster: o.Metadata.Annotations[fleet.ClusterAnnotation],
	}
}

// key tells o from every other object of a list.
func (o *object) key() string { return o.ref().key() }

// condition returns the condition of that type; one that is not there has status Unknown.
func (o *object) condition(kind string) condition {
	for _, c := range o.Status.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return condition{Type: kind, Status: string(fleet.Unknown)}
}

// is reports whether the condition of that type is True.
func (o *object) is(kind string) bool { return o.condition(kind).Status == string(fleet.True) }

// current reports whether the status is about the spec as it is now.
func (o *object) current() bool {
	if seen := o.Status.ObservedGeneration; seen != 0 && seen < o.Metadata.Generation {
		return false
	}
	seen := o.condition("Ready").ObservedGeneration
	return seen == 0 || seen >= o.Metadata.Generation
}

// arrived reports whether an App is everywhere at the revision that is tried. Until the clusters were told of a new
// one, they are still ready at the old one.
func (o *object) arrived() bool {
	fleetWide := o.kind.App && o.ref().cluster == ""
	return !fleetWide || o.Status.LastAttemptedRevision == "" || o.Status.LastAppliedRevision == o.Status.LastAttemptedRevision
}

// suspended reports spec.suspend.
func (o *object) suspended() bool {
	var spec struct {
		Suspend bool `json:"suspend"`
	}
	_ = json.Unmarshal(o.Spec, &spec) // the hub validated it; without it: not suspended
	return spec.Suspend
}

// revision is what o is at: an App's last applied one, a Source's artifact's.
func (o *object) revision() string {
	if o.Status.Artifact != nil {
		return o.Status.Artifact.Revision
	}
	return o.Status.LastAppliedRevision
}

func (o *object) created() time.Time {
	if o.Metadata.CreationTimestamp == nil {
		return time.Time{}
	}
	return *o.Metadata.CreationTimestamp
}

// moment reads a time of a status; what is none is the zero time.
func moment(text string) time.Time {
	t, _ := time.Parse(time.RFC3339Nano, text)
	return t
}
