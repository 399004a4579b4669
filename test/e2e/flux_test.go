package e2e

import "k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

// fluxCRD is as much of Flux's definition as tells that Flux is there.
var fluxCRD = &unstructured.Unstructured{Object: map[string]any{
	"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
	"metadata": map[string]any{"name": "kustomizations.kustomize.toolkit.fluxcd.io"},
	"spec": map[string]any{
		"group": "kustomize.toolkit.fluxcd.io", "scope": "Namespaced",
		"names": map[string]any{"kind": "Kustomization", "listKind": "KustomizationList", "plural": "kustomizations", "singular": "kustomization"},
		"versions": []any{map[string]any{
			"name": "v1", "served": true, "storage": true,
			"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
		}},
	},
}}

func fluxKustomization(namespace string, suspended bool) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
		"metadata": map[string]any{"name": "app", "namespace": namespace},
		"spec":     map[string]any{"suspend": suspended},
	}}
}
