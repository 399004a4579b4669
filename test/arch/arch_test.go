package arch

import (
	"errors"
	"go/build"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "flotilla.dev/flotilla"

func TestImportsAreInTheTable(t *testing.T) {
	t.Parallel()
	for name, p := range packages(t) {
		row, found := table[name]
		if !found {
			t.Errorf("package %s has no row in test/arch/table_test.go: add one that says what it may import", name)
			continue
		}
		for _, imported := range inModule(p.Imports) {
			if !matches(row, imported) {
				t.Errorf("%s imports %s; its row in test/arch/table_test.go allows %q", name, imported, row)
			}
		}
	}
}

func TestTableHasNoRowTooMany(t *testing.T) {
	t.Parallel()
	all := packages(t)
	for name := range table {
		if _, found := all[name]; !found {
			t.Errorf("test/arch/table_test.go has a row for %s, which is no package: take it out", name)
		}
	}
	for name := range unlinked {
		if _, found := all[name]; !found {
			t.Errorf("unlinked names %s, which is no package", name)
		}
	}
}

// Tests may use more than the code beside them: the parts of their own side, and the lab.
func TestHubAndSpokeMeetInNoTestEither(t *testing.T) {
	t.Parallel()
	for name, p := range packages(t) {
		other := map[string]string{"hub": "spoke", "spoke": "hub"}[side(name)]
		for _, imported := range inModule(slices.Concat(p.TestImports, p.XTestImports)) {
			if other != "" && side(imported) == other {
				t.Errorf("a test of %s imports %s", name, imported)
			}
			if side(name) == "pkg" && (side(imported) == "hub" || side(imported) == "spoke") {
				t.Errorf("a test of %s imports %s", name, imported)
			}
		}
	}
}

func TestNounsImportTheStandardLibraryAlone(t *testing.T) {
	t.Parallel()
	for _, imported := range packages(t)["pkg/fleet"].Imports {
		if first, _, _ := strings.Cut(imported, "/"); strings.Contains(first, ".") {
			t.Errorf("pkg/fleet imports %s", imported)
		}
	}
}

func TestNamesSayWhatAPackageOwns(t *testing.T) {
	t.Parallel()
	for name, p := range packages(t) {
		if slices.Contains(vague, path.Base(name)) || slices.Contains(vague, p.Name) {
			t.Errorf("package %s (%s): name it for what it owns", name, p.Name)
		}
	}
}

func TestWhatIsLinkedThroughOthersIsImportedByNoOne(t *testing.T) {
	t.Parallel()
	all := packages(t)
	for name, banned := range indirect {
		p, found := all[name]
		if !found {
			t.Errorf("indirect names %s, which is no package", name)
			continue
		}
		for _, imported := range p.Imports {
			if slices.ContainsFunc(banned, func(prefix string) bool { return imported == prefix || strings.HasPrefix(imported, prefix+"/") }) {
				t.Errorf("%s imports %s itself", name, imported)
			}
		}
	}
}

func TestBinariesLinkOnlyWhatTheyNeed(t *testing.T) {
	t.Parallel()
	root := moduleRoot(t)
	// What this test reads is what its cached result depends on.
	packages(t)
	if _, err := os.ReadFile(filepath.Join(root, "go.mod")); err != nil {
		t.Fatal(err)
	}
	for name, banned := range unlinked {
		list := exec.CommandContext(t.Context(), "go", "list", "-deps", "./"+name)
		list.Dir = root
		output, err := list.Output()
		if err != nil {
			t.Errorf("go list -deps %s: %v", name, err)
			continue
		}
		for _, linked := range strings.Fields(string(output)) {
			if slices.ContainsFunc(banned, func(prefix string) bool { return linked == prefix || strings.HasPrefix(linked, prefix+"/") }) {
				t.Errorf("%s links %s; find the way with: go mod why %s", name, linked, linked)
			}
		}
	}
}

// packages are all of the module, by path in it. They are read file by file, which Go's cache of test results follows; it
// would not see what a go list saw.
func packages(t *testing.T) map[string]*build.Package {
	t.Helper()
	root := moduleRoot(t)
	all := map[string]*build.Package{}
	err := filepath.WalkDir(root, func(dir string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		if dir != root && !ofModule(dir) {
			return filepath.SkipDir
		}
		p, err := build.ImportDir(dir, 0)
		var none *build.NoGoError
		switch {
		case errors.As(err, &none):
			return nil
		case err != nil:
			return err
		}
		name, err := filepath.Rel(root, dir)
		all[filepath.ToSlash(name)] = p
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("no packages found")
	}
	return all
}

// ofModule leaves out what the go command leaves out.
func ofModule(dir string) bool {
	base := filepath.Base(dir)
	if strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata" {
		return false
	}
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return errors.Is(err, os.ErrNotExist)
}

func moduleRoot(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil || !strings.HasPrefix(string(content), "module "+module+"\n") {
		t.Fatalf("%s is not the root of %s: %v", root, module, err)
	}
	return root
}

// inModule keeps the imports that are the module's own, as paths in it.
func inModule(imports []string) []string {
	var own []string
	for _, imported := range imports {
		if name, found := strings.CutPrefix(imported, module+"/"); found {
			own = append(own, name)
		}
	}
	return own
}

func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		ok, err := path.Match(pattern, name)
		return ok && err == nil
	})
}

// side is the first part of a path: hub, spoke, pkg, proto or test.
func side(name string) string {
	first, _, _ := strings.Cut(name, "/")
	return first
}
