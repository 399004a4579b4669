package resource_test

import (
	"os"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"flotilla.dev/flotilla/pkg/resource"
)

// Rule: what people are shown to write is taken as it stands.
func TestEveryObjectThatTheDocumentsShowIsValid(t *testing.T) {
	t.Parallel()
	for name, least := range map[string]int{"../../README.md": 10, "../fleet/ROLLOUTPOLICY.md": 1} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		shown := 0
		for i, part := range strings.Split(string(text), "```yaml\n") {
			if i == 0 {
				continue
			}
			block, _, _ := strings.Cut(part, "```")
			for _, document := range strings.Split(block, "---\n") {
				object, err := yaml.YAMLToJSONStrict([]byte(document))
				if err != nil {
					t.Errorf("%s: %v in\n%s", name, err, document)
					continue
				}
				if _, err := resource.Decode(object); err != nil {
					t.Errorf("%s: %v in\n%s", name, err, document)
				}
				shown++
			}
		}
		if shown < least {
			t.Errorf("%s shows %d objects, %d are expected", name, shown, least)
		}
	}
}
