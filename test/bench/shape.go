package main

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// shape is a sort of object that an app may consist of. An object shows its version in one place, so that a change is
// one of that place only.
type shape struct {
	kind     string
	resource schema.GroupVersionResource
	// object is one with a name, a version and some text of its own.
	object func(name, version, filler string) map[string]any
	// version is the one that an object shows.
	version func(*unstructured.Unstructured) string
}

var shapes = []shape{
	{
		kind:     "ConfigMap",
		resource: schema.GroupVersionResource{Version: "v1", Resource: "configmaps"},
		object: func(name, version, filler string) map[string]any {
			return map[string]any{
				"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": name},
				"data": map[string]any{"value": version, "filler": filler},
			}
		},
		version: func(u *unstructured.Unstructured) string {
			version, _, _ := unstructured.NestedString(u.Object, "data", "value")
			return version
		},
	},
	{
		// The version is a label of the Deployment's, of which its controller makes nothing: what is timed is the API
		// server's work on an object of that size and schema, not the rollout of Pods.
		kind:     "Deployment",
		resource: schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"},
		object:   deployment,
		version:  func(u *unstructured.Unstructured) string { return u.GetLabels()["version"] },
	},
}

// shapeNames are what -kind takes.
func shapeNames() []string {
	var names []string
	for _, s := range shapes {
		names = append(names, s.kind)
	}
	return append(names, releaseKind, rolloutKind)
}

// deployment is one as people have them, with no replicas.
func deployment(name, version, filler string) map[string]any {
	labels := map[string]any{"app.kubernetes.io/name": name}
	probe := map[string]any{"httpGet": map[string]any{"path": "/healthz", "port": "http"}, "periodSeconds": 10}
	env := []any{map[string]any{"name": "FILLER", "value": filler}}
	for i := range 6 {
		env = append(env, map[string]any{"name": fmt.Sprintf("SETTING_%d", i), "value": fmt.Sprint(i)})
	}
	container := map[string]any{
		"name": "main", "image": "registry.example.com/team/" + name + ":1.2.3", "args": []any{"serve", "--listen=:8080"}, "env": env,
		"ports":         []any{map[string]any{"name": "http", "containerPort": 8080}, map[string]any{"name": "metrics", "containerPort": 9090}},
		"resources":     map[string]any{"requests": map[string]any{"cpu": "100m", "memory": "128Mi"}, "limits": map[string]any{"memory": "256Mi"}},
		"livenessProbe": probe, "readinessProbe": probe,
		"volumeMounts": []any{map[string]any{"name": "tmp", "mountPath": "/tmp"}},
	}
	return map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment",
		"metadata": map[string]any{"name": name, "labels": map[string]any{"app.kubernetes.io/name": name, "version": version}},
		"spec": map[string]any{
			"replicas": 0, "revisionHistoryLimit": 2, "selector": map[string]any{"matchLabels": labels},
			"template": map[string]any{"metadata": map[string]any{"labels": labels}, "spec": map[string]any{
				"containers": []any{container}, "volumes": []any{map[string]any{"name": "tmp", "emptyDir": map[string]any{}}},
			}},
		},
	}
}
