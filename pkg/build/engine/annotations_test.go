package engine

import (
	"testing"

	"pgregory.net/rapid"
)

func TestOddMetadataIsThatOfKustomizeOrADoubt(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		odd := func(label string) any {
			return rapid.SampledFrom([]any{nil, "", "text", 1, map[string]any{}, map[string]any{"a": "b", "n": 1}, map[string]any{"a": map[string]any{"b": "c"}}, []any{}, []any{"a"}, map[string]any{"a": nil, "": "b"}}).Draw(rt, label)
		}
		metadata := map[string]any{"name": rapid.SampledFrom([]any{"old", "old", "old", "a,b", 1, true, "a.b", "~N"}).Draw(rt, "name")}
		for _, field := range []string{"annotations", "labels", "namespace"} {
			if rapid.IntRange(0, 2).Draw(rt, "has "+field) == 0 {
				metadata[field] = odd(field)
			}
		}
		if rapid.IntRange(0, 5).Draw(rt, "noted") == 0 {
			metadata["annotations"] = map[string]any{
				rapid.SampledFrom([]string{
					previousNames, previousKinds, previousNamespaces, namePrefixes, nameSuffixes, "internal.config.kubernetes.io/needsHashSuffix",
					"internal.config.kubernetes.io/refBy", "config.kubernetes.io/origin", "config.kubernetes.io/local-config", "internal.config.kubernetes.io/helm-generated", "config.kubernetes.io/path",
				}).Draw(rt, "note"): rapid.SampledFrom([]any{"", "old", "true", "enabled", "false", "old,web", nil}).Draw(rt, "value"),
			}
		}
		kind := rapid.SampledFrom([]string{"ConfigMap", "ConfigMap", "Namespace", "List", "ServiceAccount"}).Draw(rt, "kind")
		version := rapid.SampledFrom([]any{"v1", "v1", "v1", "/v1", "", nil, 1, "a/b/c"}).Draw(rt, "version")
		kustomization := "resources: [a.yaml, b.yaml]\n"
		for _, field := range []string{
			"namePrefix: p-\n", "namespace: own\n", "commonAnnotations: {c: d}\n", "labels: [{pairs: {l: m}}]\n", "buildMetadata: [originAnnotations]\n", "buildMetadata: [transformerAnnotations, originAnnotations]\n",
			"patches: [{target: {name: 'o.*'}, patch: '{apiVersion: v1, kind: X, metadata: {name: x, labels: {p: q}}}'}]\n", "patches: [{target: {kind: ConfigMap}, patch: '[{\"op\": \"add\", \"path\": \"/data\", \"value\": {}}]'}]\n",
			"configMapGenerator: [{name: old, behavior: merge, literals: [x=y]}]\n", "replacements: [{source: {kind: ConfigMap}, targets: [{select: {kind: Pod}, fieldPaths: [metadata.labels.r], options: {create: true}}]}]\n",
		} {
			if rapid.IntRange(0, 3).Draw(rt, field) == 0 {
				kustomization += field
			}
		}
		buildBoth(rt, map[string]string{
			"/app/kustomization.yaml": kustomization,
			"/app/a.yaml":             marshal(rt, map[string]any{"apiVersion": version, "kind": kind, "metadata": any(metadata), "data": map[string]any{"a": "b"}}),
			"/app/b.yaml":             "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {serviceAccountName: old, containers: [{name: c, envFrom: [{configMapRef: {name: old}}]}]}\n",
		})
	})
}
