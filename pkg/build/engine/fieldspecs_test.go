package engine

import (
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	gotypes "go/types"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/resid"
	"sigs.k8s.io/yaml"
)

// The specs are constants of an internal package of kustomize's.
func TestTheFieldSpecsAreThoseOfTheModule(t *testing.T) {
	t.Parallel()
	var want struct {
		NamePrefix, NameSuffix, Namespace, CommonLabels, Labels, TemplateLabels, VolumeClaimTemplateLabels, CommonAnnotations types.FsSlice
		VarReference, Images, Replicas                                                                                        types.FsSlice
		NameReference                                                                                                         []struct {
			resid.Gvk  `json:",inline"`
			FieldSpecs types.FsSlice
		}
	}
	if err := yaml.UnmarshalStrict([]byte(moduleSpecs(t)), &want); err != nil {
		t.Fatal(err)
	}
	got, err := parseSpecs(table)
	if err != nil {
		t.Fatal(err)
	}
	for name, list := range map[string]types.FsSlice{
		"namePrefix": want.NamePrefix, "nameSuffix": want.NameSuffix, "namespace": want.Namespace, "commonLabels": want.CommonLabels,
		"labels": want.Labels, "templateLabels": want.TemplateLabels, "volumeClaimTemplateLabels": want.VolumeClaimTemplateLabels,
		"commonAnnotations": want.CommonAnnotations, "images": want.Images, "replicas": want.Replicas,
	} {
		if diff := cmp.Diff(render(list), render(got.lists[name])); diff != "" {
			t.Errorf("%s (-module +table):\n%s", name, diff)
		}
		delete(got.lists, name)
	}
	if len(got.lists) > 0 {
		t.Errorf("the table has lists that the module does not: %v", got.lists)
	}
	var wanted, references []string
	for _, r := range want.NameReference {
		wanted = append(append(wanted, r.Gvk.String()), render(r.FieldSpecs)...)
	}
	for _, r := range got.references {
		references = append(append(references, r.to.String()), render(r.fields)...)
		for _, field := range r.fields {
			if strings.Contains(field.Path, "[]") || field.CreateIfNotPresent {
				t.Errorf("%s: a reference that is made, or in a list that is said to be one: the engine knows neither", field)
			}
		}
	}
	if diff := cmp.Diff(wanted, references); diff != "" {
		t.Errorf("nameReference (-module +table):\n%s", diff)
	}
}

func render(list types.FsSlice) []string {
	var all []string
	for _, spec := range list {
		all = append(all, spec.String())
	}
	return all
}

// moduleSpecs joins what GetDefaultFieldSpecs of the module's source joins.
func moduleSpecs(t *testing.T) string {
	t.Helper()
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kustomize/api").Output()
	if err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "internal/konfig/builtinpluginconsts/*.go"))
	if err != nil || len(names) == 0 {
		t.Fatalf("%d files, %v", len(names), err)
	}
	set := token.NewFileSet()
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	// Only the constants matter, not what the functions import.
	config := gotypes.Config{Error: func(error) {}}
	info := &gotypes.Info{Uses: map[*ast.Ident]gotypes.Object{}}
	_, _ = config.Check("builtinpluginconsts", set, files, info)
	var joined []string
	for _, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			function, is := n.(*ast.FuncDecl)
			if !is || function.Name.Name != "GetDefaultFieldSpecs" {
				return true
			}
			ast.Inspect(function, func(n ast.Node) bool {
				if name, is := n.(*ast.Ident); is {
					if value, is := info.Uses[name].(*gotypes.Const); is {
						joined = append(joined, constant.StringVal(value.Val()))
					}
				}
				return true
			})
			return false
		})
	}
	if len(joined) == 0 {
		t.Fatal("the module has no specs where they were")
	}
	return strings.Join(joined, "\n")
}
