package buildtest_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/kio"
	"sigs.k8s.io/kustomize/kyaml/resid"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
	"sigs.k8s.io/yaml"

	"flotilla.dev/flotilla/pkg/build/buildtest"
)

// What kustomize changes by default, and every name that it follows, is in its source. All of it has to be in some tree.
func TestTreesHaveEveryFieldThatKustomizeChangesByDefault(t *testing.T) {
	t.Parallel()
	missing := defaultSpecs(t)
	if len(missing) < 150 {
		t.Fatalf("kustomize has %d fields by default: they are not found", len(missing))
	}
	for seed := 0; seed < 3000 && len(missing) > 0; seed++ {
		for name, content := range buildtest.Seeded(seed).Files {
			if slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name)) {
				missing = without(missing, content)
			}
		}
	}
	for _, spec := range missing {
		t.Errorf("no tree has %s", spec)
	}
}

// without leaves out the fields that an object of the file has.
func without(specs []types.FieldSpec, content string) []types.FieldSpec {
	objects, err := kio.FromBytes([]byte(content))
	if err != nil {
		return specs
	}
	for _, object := range objects {
		if object.YNode().Kind != kyaml.MappingNode {
			continue
		}
		gvk := resid.GvkFromNode(object)
		specs = slices.DeleteFunc(specs, func(spec types.FieldSpec) bool {
			return gvk.IsSelected(&spec.Gvk) && (spec.CreateIfNotPresent || has(object, segments(spec.Path)))
		})
	}
	return specs
}

func has(node *kyaml.RNode, path []string) bool {
	switch {
	case len(path) == 0:
		return true
	case node == nil:
		return false
	case node.YNode().Kind == kyaml.SequenceNode:
		elements, err := node.Elements()
		return err == nil && slices.ContainsFunc(elements, func(element *kyaml.RNode) bool { return has(element, path) })
	case node.YNode().Kind != kyaml.MappingNode:
		return false
	}
	field := node.Field(path[0])
	return field != nil && has(field.Value, path[1:])
}

func segments(path string) []string {
	const slash = "\x00"
	parts := strings.Split(strings.ReplaceAll(path, `\/`, slash), "/")
	for i := range parts {
		parts[i] = strings.TrimSuffix(strings.ReplaceAll(parts[i], slash, "/"), "[]")
	}
	return parts
}

// defaultSpecs reads the constants of kustomize's package of defaults, which only kustomize can import.
func defaultSpecs(t *testing.T) []types.FieldSpec {
	t.Helper()
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kustomize/api").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "internal/konfig/builtinpluginconsts/*.go"))
	if err != nil {
		t.Fatal(err)
	}
	constants := map[string]ast.Expr{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if spec, is := n.(*ast.ValueSpec); is && len(spec.Values) == 1 {
				constants[spec.Names[0].Name] = spec.Values[0]
			}
			return true
		})
	}
	var out []types.FieldSpec
	for _, expr := range constants {
		var lists map[string][]struct {
			types.FieldSpec `json:",inline"`
			FieldSpecs      []types.FieldSpec `json:"fieldSpecs"`
		}
		if yaml.Unmarshal([]byte(textOf(constants, expr)), &lists) != nil {
			continue // a part of others
		}
		for field, list := range lists {
			for _, spec := range list {
				switch field {
				case "varReference": // of any text, anywhere
				case "nameReference":
					out = append(out, spec.FieldSpecs...)
				default:
					out = append(out, spec.FieldSpec)
				}
			}
		}
	}
	return out
}

// textOf is the value of a constant of string literals and other constants.
func textOf(constants map[string]ast.Expr, expr ast.Expr) string {
	switch expr := expr.(type) {
	case *ast.BasicLit:
		text, _ := strconv.Unquote(expr.Value)
		return text
	case *ast.BinaryExpr:
		return textOf(constants, expr.X) + textOf(constants, expr.Y)
	case *ast.Ident:
		return textOf(constants, constants[expr.Name])
	}
	return ""
}
