package deploy_test

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// driftKind is a kind on which the cases of drift are played.
type driftKind struct {
	name     string
	resource schema.GroupVersionResource
	// object with a field that we own, and its path; edit sets that field to another value, extra one that we do not own.
	object string
	owned  []string
	want   any
	edit   string
	extra  string
	path   []string // of extra
	value  any
}

func (b *bundle) driftKinds() []driftKind {
	b.defineWidgets()
	return []driftKind{
		{
			name: "ConfigMap", resource: configMaps,
			object: b.configMap("it", "1"),
			owned:  []string{"data", "key"}, want: "1",
			edit: `{"data":{"key":"other"}}`, extra: `{"data":{"extra":"x"}}`, path: []string{"data", "extra"}, value: "x",
		},
		{
			name: "Secret", resource: secrets,
			object: fmt.Sprintf(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"it","namespace":%q},"stringData":{"key":"one"}}`, b.namespace),
			owned:  []string{"data", "key"}, want: "b25l",
			edit: `{"data":{"key":"dHdv"}}`, extra: `{"data":{"extra":"eA=="}}`, path: []string{"data", "extra"}, value: "eA==",
		},
		{
			name: "Service", resource: services,
			object: fmt.Sprintf(`{"apiVersion":"v1","kind":"Service","metadata":{"name":"it","namespace":%q},
				"spec":{"selector":{"app":"it"},"ports":[{"name":"http","port":80}]}}`, b.namespace),
			owned: []string{"spec", "selector", "app"}, want: "it",
			edit: `{"spec":{"selector":{"app":"other"}}}`, extra: `{"spec":{"externalIPs":["192.0.2.1"]}}`,
			path: []string{"spec", "externalIPs"}, value: []any{"192.0.2.1"},
		},
		{
			name: "Deployment", resource: deployments,
			object: b.deployment("it", ""),
			owned:  []string{"spec", "revisionHistoryLimit"}, want: 3,
			edit: `{"spec":{"revisionHistoryLimit":7}}`, extra: `{"spec":{"minReadySeconds":1}}`,
			path: []string{"spec", "minReadySeconds"}, value: 1,
		},
		{
			name: "Widget", resource: widgets,
			object: fmt.Sprintf(`{"apiVersion":"test.flotilla.dev/v1","kind":"Widget","metadata":{"name":"it","namespace":%q},"spec":{"size":1}}`, b.namespace),
			owned:  []string{"spec", "size"}, want: 1,
			edit: `{"spec":{"size":2}}`, extra: `{"spec":{"colour":"red"}}`, path: []string{"spec", "colour"}, value: "red",
		},
	}
}

func (b *bundle) driftKind(name string) driftKind {
	kinds := b.driftKinds()
	return kinds[slices.IndexFunc(kinds, func(k driftKind) bool { return k.name == name })]
}

var widgets = schema.GroupVersionResource{Group: "test.flotilla.dev", Version: "v1", Resource: "widgets"}

const widgetDefinition = `{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"%[1]ss.%[2]s"},
	"spec":{"group":"%[2]s","scope":"Namespaced","names":{"plural":"%[1]ss","singular":"%[1]s","kind":"%[3]s"},
	"versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","properties":{
	"spec":{"type":"object","properties":{"size":{"type":"integer"},"colour":{"type":"string"}}}}}}}]}}`

// defineWidgets makes the kind Widget, once a cluster.
func (b *bundle) defineWidgets() {
	b.Helper()
	err := b.create(crds, fmt.Sprintf(widgetDefinition, "widget", "test.flotilla.dev", "Widget"))
	if err != nil && !apierrors.IsAlreadyExists(err) {
		b.Fatal(err)
	}
	b.eventually("Widgets are served", func() error {
		_, err := b.client.Resource(widgets).List(b.Context(), metav1.ListOptions{})
		return err
	})
}

func (b *bundle) create(resource schema.GroupVersionResource, object string) error {
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON([]byte(object)); err != nil {
		b.Fatal(err)
	}
	_, err := b.client.Resource(resource).Namespace(u.GetNamespace()).Create(b.Context(), u, metav1.CreateOptions{})
	return err
}

func (b *bundle) deployment(name, podAnnotations string) string {
	return fmt.Sprintf(`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":%[1]q,"namespace":%[2]q},
		"spec":{"revisionHistoryLimit":3,"selector":{"matchLabels":{"app":%[1]q}},
		"template":{"metadata":{"labels":{"app":%[1]q}%[3]s},"spec":{"containers":[
		{"name":"main","image":"example.com/app:1","env":[{"name":"A","value":"1"},{"name":"B","value":"2"}]}]}}}}`,
		name, b.namespace, podAnnotations)
}

// skeleton is an object of the kind with nothing but a patch's fields, and what the kind demands.
func (b *bundle) skeleton(k driftKind, patch string) string {
	b.Helper()
	return b.merge(map[string]any{
		"apiVersion": k.resource.GroupVersion().String(), "kind": k.name,
		"metadata": map[string]any{"name": "it", "namespace": b.namespace},
	}, b.demanded(k), patch)
}

// demanded are fields that an object of the kind must have.
func (b *bundle) demanded(k driftKind) string {
	switch k.name {
	case "Deployment":
		return `{"spec":{"selector":{"matchLabels":{"app":"it"}},"template":{"metadata":{"labels":{"app":"it"}},
			"spec":{"containers":[{"name":"main","image":"example.com/app:1"}]}}}}`
	case "Service":
		return `{"spec":{"ports":[{"name":"http","port":80}]}}`
	}
	return `{}`
}

// sameWith is the object as we apply it, with a patch's values.
func (b *bundle) sameWith(k driftKind, patch string) string {
	b.Helper()
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON([]byte(k.object)); err != nil {
		b.Fatal(err)
	}
	u.SetLabels(map[string]string{ownerName: "app", ownerNamespace: b.namespace})
	if plain, has := u.Object["stringData"].(map[string]any); has {
		delete(u.Object, "stringData")
		for key, value := range plain {
			plain[key] = base64.StdEncoding.EncodeToString([]byte(value.(string)))
		}
		u.Object["data"] = plain
	}
	return b.merge(u.Object, patch)
}

func (b *bundle) merge(object map[string]any, patches ...string) string {
	b.Helper()
	for _, patch := range patches {
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON([]byte(`{"kind":"x","apiVersion":"x",` + strings.TrimPrefix(patch, "{"))); err != nil && patch != "{}" {
			b.Fatal(err)
		}
		delete(u.Object, "kind")
		delete(u.Object, "apiVersion")
		mergeMaps(object, u.Object)
	}
	data, err := (&unstructured.Unstructured{Object: object}).MarshalJSON()
	if err != nil {
		b.Fatal(err)
	}
	return string(data)
}

func mergeMaps(into, from map[string]any) {
	for key, value := range from {
		if child, isMap := value.(map[string]any); isMap {
			if have, isMap := into[key].(map[string]any); isMap {
				mergeMaps(have, child)
				continue
			}
		}
		into[key] = value
	}
}
