package engine

import (
	"testing"

	"pgregory.net/rapid"
)

func TestOddImagesAreThoseOfKustomizeOrDoubts(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		spec := map[string]any{}
		for _, field := range []string{"containers", "initContainers", "volumes", "template", "jobTemplate", "image"} {
			if rapid.IntRange(0, 2).Draw(rt, field) == 0 {
				spec[field] = drawImages(rt, 3)
			}
		}
		object := map[string]any{"apiVersion": "example.com/v1", "kind": "Widget", "metadata": map[string]any{"name": "w"}, "spec": any(spec)}
		if rapid.IntRange(0, 9).Draw(rt, "odd spec") == 0 {
			object["spec"] = drawImages(rt, 1)
		}
		buildBoth(rt, map[string]string{
			"/app/kustomization.yaml": "resources: [w.yaml]\nimages: [{name: web, newTag: v2}, {name: side, newName: mirror/side}]\n",
			"/app/w.yaml":             marshal(rt, object),
		})
	})
}

func drawImages(t *rapid.T, depth int) any {
	leaf := rapid.SampledFrom([]any{"web", "web:v1", "side@sha256:1", nil, "", 1, []any{}, map[string]any{}})
	if depth == 0 {
		return leaf.Draw(t, "leaf")
	}
	switch rapid.IntRange(0, 3).Draw(t, "shape") {
	case 0:
		return leaf.Draw(t, "leaf")
	case 1:
		return []any{drawImages(t, depth-1)}
	default:
		return map[string]any{rapid.SampledFrom([]string{"image", "reference", "spec", "containers", "volumes", "template", "name"}).Draw(t, "field"): drawImages(t, depth-1)}
	}
}
