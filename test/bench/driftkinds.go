package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// driftKind is a kind of object that is edited by hand.
type driftKind struct {
	name     string
	resource schema.GroupVersionResource
	// spec is what its object has besides metadata, change a merge patch of a field in it.
	spec, change string
	// shown are the fields that have to be as Git has them.
	shown [][]string
}

var driftKinds = []driftKind{
	{
		"ConfigMap", schema.GroupVersionResource{Version: "v1", Resource: "configmaps"},
		`"data":{"key":"git"}`, `{"data":{"key":"by hand"}}`, [][]string{{"data"}},
	},
	{
		"Secret", schema.GroupVersionResource{Version: "v1", Resource: "secrets"},
		`"stringData":{"key":"git"}`, `{"stringData":{"key":"by hand"}}`, [][]string{{"data"}},
	},
	{
		"Service", schema.GroupVersionResource{Version: "v1", Resource: "services"},
		`"spec":{"selector":{"app":"git"},"ports":[{"name":"http","port":80}]}`, `{"spec":{"selector":{"app":"by-hand"}}}`,
		[][]string{{"spec", "selector"}, {"spec", "ports"}},
	},
	{
		"Deployment", schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"},
		`"spec":{"replicas":0,"revisionHistoryLimit":2,"selector":{"matchLabels":{"app":"git"}},"template":{"metadata":{"labels":{"app":"git"}},
			"spec":{"containers":[{"name":"main","image":"registry.example.com/git:1"}]}}}`, `{"spec":{"revisionHistoryLimit":3}}`,
		[][]string{{"spec"}},
	},
	{
		"CronJob", schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "cronjobs"},
		`"spec":{"schedule":"0 3 * * *","suspend":true,"jobTemplate":{"spec":{"template":{"spec":{"restartPolicy":"Never",
			"containers":[{"name":"main","image":"registry.example.com/git:1"}]}}}}}`, `{"spec":{"schedule":"0 4 * * *"}}`,
		[][]string{{"spec"}},
	},
	{
		"Widget", schema.GroupVersionResource{Group: "bench.example.com", Version: "v1", Resource: "widgets"},
		`"spec":{"size":1,"parts":["a","b"]}`, `{"spec":{"size":2}}`, [][]string{{"spec"}},
	},
}

const widgetDefinition = `{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"widgets.bench.example.com"},
	"spec":{"group":"bench.example.com","scope":"Namespaced","names":{"plural":"widgets","singular":"widget","kind":"Widget"},
	"versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","properties":{"spec":{"type":"object",
	"properties":{"size":{"type":"integer"},"parts":{"type":"array","items":{"type":"string"}}}}}}}}]}}`

func (k driftKind) file(name, namespace string) string {
	return fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"metadata":{"name":%q,"namespace":%q,"labels":{"tier":"git"}},%s}`,
		k.resource.GroupVersion(), k.name, name, namespace, k.spec)
}

// shows is what of an object has to be as Git has it: its labels, and its kind's fields.
func shows(u *unstructured.Unstructured) string {
	state := map[string]any{"labels": u.GetLabels()}
	for _, k := range driftKinds {
		if k.name != u.GetKind() {
			continue
		}
		for _, path := range k.shown {
			state[strings.Join(path, ".")], _, _ = unstructured.NestedFieldNoCopy(u.Object, path...)
		}
	}
	text, err := json.Marshal(state)
	if err != nil {
		panic(err) // it came as JSON
	}
	return string(text)
}
