package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/flux"
)

// A field that is taken has a test that proves it, and that test is there.
func TestEveryFieldIsProvedByATestThatIsThere(t *testing.T) {
	t.Parallel()
	known := map[string]map[string]bool{}
	for _, field := range slices.Concat(flux.KustomizationFields, flux.HelmReleaseFields, flux.GitRepositoryFields, flux.OCIRepositoryFields, flux.BucketFields, flux.HelmRepositoryFields,
		flux.HelmChartFields, flux.ExternalArtifactFields, flux.ReceiverFields) {
		tests := strings.Fields(field.Test)
		if len(tests) == 0 {
			t.Errorf("field %s names no test that proves it", field.Path)
		}
		for _, test := range tests {
			dir, name, _ := strings.Cut(test, ".")
			if known[dir] == nil {
				known[dir] = testsIn(t, dir)
			}
			if !known[dir][name] {
				t.Errorf("field %s: %s has no test %s", field.Path, dir, name)
			}
		}
	}
}

// testsIn are the names of the test functions of a directory.
func testsIn(t *testing.T, dir string) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	files, err := filepath.Glob(filepath.Join(moduleRoot(t), dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, declaration := range file.Decls {
			if f, is := declaration.(*ast.FuncDecl); is && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") {
				names[f.Name.Name] = true
			}
		}
	}
	return names
}
