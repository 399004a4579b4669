package helm

import (
	"slices"
	"strings"

	"flotilla.dev/flotilla/pkg/fleet"
)

// authored are fields whose keys are the author's own, in the kinds that Kubernetes itself has.
var authored = []string{
	"annotations", "labels", "matchLabels", "selector", "nodeSelector", "data", "stringData", "binaryData", "limits", "requests", "hard",
	"capacity", "parameters", "options", "volumeAttributes", "driver", "extra",
}

// sealed are paths in an object as far as no value of a Secret can be in them: one may be the key of a map.
func sealed(ref fleet.ObjectRef, paths []string) (shown []string) {
	kubernetes := !strings.Contains(ref.Group, ".") || strings.HasSuffix(ref.Group, ".k8s.io")
	for _, path := range paths {
		words := strings.Split(path, "/") // the first is empty
		for i, word := range words {
			own := slices.Contains(authored, word) || !kubernetes && i == 1 && word != "metadata"
			if i > 0 && own {
				words = words[:i+1]
				break
			}
		}
		if path = strings.Join(words, "/"); !slices.Contains(shown, path) {
			shown = append(shown, path)
		}
	}
	return shown
}
