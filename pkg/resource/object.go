package resource

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	kjson "sigs.k8s.io/json"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

// Object is a declared object.
type Object struct {
	APIVersion string          `json:"apiVersion"`
	Kind       string          `json:"kind"`
	Metadata   Metadata        `json:"metadata"`
	Spec       json.RawMessage `json:"spec,omitempty"`
	Status     json.RawMessage `json:"status,omitempty"`

	// Of a Secret: its type and content. Content is taken in and never given out; a Secret without any, as it is given
	// out, is one whose content stays as it is.
	Type       string            `json:"type,omitempty"`
	Data       map[string][]byte `json:"data,omitempty"`
	StringData map[string]string `json:"stringData,omitempty"`

	// ImagePullSecrets of a ServiceAccount. Its other two fields are of Pods, and taken in so that the YAML that a cluster has
	// can be applied: they have no effect at the hub, which does not keep them.
	ImagePullSecrets             []flux.SecretRef  `json:"imagePullSecrets,omitempty"`
	Secrets                      []json.RawMessage `json:"secrets,omitempty"`
	AutomountServiceAccountToken *bool             `json:"automountServiceAccountToken,omitempty"`

	// Owner is the App that a Source is made for by the hub; zero: it is declared.
	Owner fleet.Key `json:"-"`
	// UnplacedAt is when a Placement last let go of an App; zero: none did.
	UnplacedAt time.Time `json:"-"`
	// Gone marks the last state of an object that was deleted, for watchers.
	Gone bool `json:"-"`
}

// Metadata is the part of Kubernetes' ObjectMeta that declared objects have. What the hub sets is taken in from a
// client, so that `get -o yaml` can be applied again, and not looked at.
type Metadata struct {
	Name        string            `json:"name"`
	Namespace   string            `json:"namespace,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`

	UID               string     `json:"uid,omitempty"`
	Generation        int64      `json:"generation,omitempty"`
	ResourceVersion   string     `json:"resourceVersion,omitempty"`
	CreationTimestamp *time.Time `json:"creationTimestamp,omitempty"`
	DeletionTimestamp *time.Time `json:"deletionTimestamp,omitempty"`
}

// String is "Kind/namespace/name", or "Kind/name" for a kind without namespaces.
func (o *Object) String() string {
	if o.Metadata.Namespace == "" {
		return o.Kind + "/" + o.Metadata.Name
	}
	return o.Kind + "/" + o.Metadata.Namespace + "/" + o.Metadata.Name
}

// Key is the Key of an App declared at the hub.
func (o *Object) Key() fleet.Key {
	return fleet.Key{Home: fleet.HubHome, Kind: o.Kind, Namespace: o.Metadata.Namespace, Name: o.Metadata.Name}
}

// Decode reads a declared object from JSON and validates it. Every problem is reported, each naming the object and
// the field; a field or kind that Flotilla does not take is "not supported yet", a field possibly misspelt. Errors wrap
// fleet.ErrInvalid. kubectl's copy of the object among the annotations is dropped, and so is on a Secret the URL of a
// webhook: both may hold what is secret.
func Decode(data []byte) (*Object, error) {
	var o Object
	strict, err := kjson.UnmarshalStrict(data, &o)
	if err != nil {
		return nil, fmt.Errorf("%w: not a Kubernetes object: %w", fleet.ErrInvalid, DecodeError("", data, err))
	}
	if o.Kind == "" || o.APIVersion == "" {
		return nil, fmt.Errorf("%w: not a Kubernetes object: apiVersion and kind are required", fleet.ErrInvalid)
	}
	kind, found := KindOf(o.Kind)
	if !found || kind.APIVersion != o.APIVersion {
		return nil, fmt.Errorf("%s %s: %w: kind %s of %s is not supported yet", o.Kind, o.Metadata.Name, fleet.ErrInvalid, o.Kind, o.APIVersion)
	}
	delete(o.Metadata.Annotations, fleet.LastAppliedAnnotation)
	if kind.Name == Secret.Name {
		delete(o.Metadata.Annotations, flux.WebhookAnnotation)
	}
	var fields fleet.Fields
	refuseUnknown(&fields, "", strict)
	o.Metadata.validate(&fields, kind)
	if kind.Name != Secret.Name && (o.Data != nil || o.StringData != nil || o.Type != "") {
		fields.Refuse("data", "only a Secret has type, data and stringData")
	}
	if kind.Name != ServiceAccount.Name {
		for _, own := range []struct {
			field string
			set   bool
		}{{"imagePullSecrets", o.ImagePullSecrets != nil}, {"secrets", o.Secrets != nil}, {"automountServiceAccountToken", o.AutomountServiceAccountToken != nil}} {
			if own.set {
				fields.Refuse(own.field, "only a ServiceAccount has them")
			}
		}
	}
	if err := kind.check(&o); err != nil {
		fields = append(fields, err)
	}
	if err := fields.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", &o, err)
	}
	return &o, nil
}

// Spec decodes the spec of an object that Decode has accepted.
func Spec[T any](o *Object) (T, error) {
	var spec T
	if err := kjson.UnmarshalCaseSensitivePreserveInts(o.Spec, &spec); err != nil {
		return spec, fmt.Errorf("%s: spec: %w", o, err)
	}
	return spec, nil
}

// MadeFor says whose an object is.
func (o *Object) MadeFor() string {
	if o.Owner == (fleet.Key{}) {
		return "it is declared already"
	}
	return "it is made for " + o.Owner.Words()
}

// App decodes the spec of an App that Decode has accepted.
func App(o *Object) (flux.App, error) {
	app, err := flux.DecodeApp(o.Kind, o.Spec)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o, err)
	}
	return app, nil
}

// strictSpec decodes the spec, refusing fields that T does not have.
func strictSpec[T any](o *Object) (spec T, err error) {
	if len(o.Spec) == 0 {
		o.Spec = json.RawMessage("{}")
	}
	strict, err := kjson.UnmarshalStrict(o.Spec, &spec)
	if err != nil {
		return spec, DecodeError("spec", o.Spec, err)
	}
	var fields fleet.Fields
	refuseUnknown(&fields, "spec.", strict)
	return spec, fields.Err()
}

// refuseUnknown records the strict decoder's findings: fields that are not taken, and fields given twice.
func refuseUnknown(fields *fleet.Fields, prefix string, strict []error) {
	for _, err := range strict {
		path, problem := "", err.Error()
		if named, ok := err.(interface{ FieldPath() string }); ok {
			path = named.FieldPath()
			problem = "not supported yet, or misspelt"
			if strings.HasPrefix(err.Error(), "duplicate field") {
				problem = "is given twice"
			}
		}
		fields.Refuse(prefix+path, "%s", problem)
	}
}

var (
	namePattern  = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
	labelPattern = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
	valuePattern = regexp.MustCompile(`^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$`)
)

// maxName is the longest name of an object.
const maxName = 253

func (m Metadata) validate(fields *fleet.Fields, kind Kind) {
	switch {
	case m.Name == "":
		fields.Require("metadata.name", "")
	case len(m.Name) > maxName || !namePattern.MatchString(m.Name):
		fields.Refuse("metadata.name", "%q is not a DNS subdomain name", m.Name)
	case kind.Name == Cluster.Name && (len(m.Name) > 63 || !labelPattern.MatchString(m.Name)):
		fields.Refuse("metadata.name", "%q is not a DNS label", m.Name)
	}
	switch {
	case kind.Namespaced && m.Namespace == "":
		fields.Require("metadata.namespace", "")
	case kind.Namespaced && (len(m.Namespace) > 63 || !labelPattern.MatchString(m.Namespace)):
		fields.Refuse("metadata.namespace", "%q is not a DNS label", m.Namespace)
	case !kind.Namespaced && m.Namespace != "":
		fields.Refuse("metadata.namespace", "a %s has no namespace", kind.Name)
	}
	validateLabels(fields, "metadata.labels", m.Labels)
}

func validateLabels(fields *fleet.Fields, at string, labels map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		value := labels[key]
		if _, name, _ := strings.Cut(key, "/"); key == "" || len(name) > 63 || len(key) > 317 {
			fields.Refuse(at, "%q is not a label key", key)
		}
		if len(value) > 63 || !valuePattern.MatchString(value) {
			fields.Refuse(at+"["+key+"]", "%q is not a label value", value)
		}
	}
}
