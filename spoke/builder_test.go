package spoke

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/render"
)

// TestBuilderEndsItsProcessWithTheBuild: a spoke at rest has none.
func TestBuilderEndsItsProcessWithTheBuild(t *testing.T) {
	content := []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")
	digest := fleet.DigestOf(content)
	tree, err := artifact.NewTree([]artifact.File{{Path: "deploy/a.yaml", Digest: digest, Size: int64(len(content))}})
	if err != nil {
		t.Fatal(err)
	}
	result, err := builder()(t.Context(), render.Job{
		Tenant: "apps", Path: "deploy", Tree: tree,
		Blob: func(context.Context, fleet.Digest) ([]byte, error) { return content, nil },
	})
	if err != nil || len(result.Objects) != 1 || !strings.Contains(string(result.Objects[0]), "name: a") {
		t.Fatalf("%v, %s", err, result.Objects)
	}
	lists, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil || len(lists) == 0 {
		t.Fatal("which processes there are cannot be told:", err)
	}
	for _, list := range lists {
		children, err := os.ReadFile(list)
		if err == nil && len(children) > 0 { // else the thread has ended
			t.Errorf("processes %s are left", children)
		}
	}
}
