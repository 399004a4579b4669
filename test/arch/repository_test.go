package arch

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
)

func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(moduleRoot(t), name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestMakeHelpListsTheTargets(t *testing.T) {
	t.Parallel()
	read(t, "Makefile") // what this test's cached result depends on
	help := exec.CommandContext(t.Context(), "make", "help")
	help.Dir = moduleRoot(t)
	output, err := help.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	for _, target := range []string{"help", "build", "test", "fuzz", "demo", "bench", "generate", "lint", "verify"} {
		if !regexp.MustCompile(`(?m)^  make ` + target + ` +\S`).Match(output) {
			t.Errorf("make help says nothing of %s:\n%s", target, output)
		}
	}
}

// A program that can load Go plugins keeps every symbol that it links, in its memory too.
func TestProgramsAreBuiltWithoutGoPlugins(t *testing.T) {
	t.Parallel()
	const tag = "kustomize_disable_go_plugin_support"
	if file := "test/lab/binaries.go"; !strings.Contains(read(t, file), tag) {
		t.Errorf("%s does not build with -tags %s", file, tag)
	}
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-tags", tag,
		"./hub/cmd/flotilla-hub", "./spoke/cmd/flotilla-spoke", "./spoke/cmd/flotilla-helm", "./hub/cmd/fleetctl")
	list.Dir = moduleRoot(t)
	output, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	if regexp.MustCompile(`(?m)^plugin$`).Match(output) {
		t.Errorf("with -tags %s a program links package plugin", tag)
	}
}

// Two builds with other tags share nothing of what depends on kustomize.
func TestEveryTargetCompilesWithTheTagsOfPrograms(t *testing.T) {
	t.Parallel()
	read(t, "Makefile") // what this test's cached result depends on
	for own, want := range map[string]string{
		"":                     "-tags=kustomize_disable_go_plugin_support",
		"-mod=mod -tags=a,b":   "-mod=mod -tags=kustomize_disable_go_plugin_support,a,b",
		"-tags=a -trimpath -v": "-trimpath -v -tags=kustomize_disable_go_plugin_support,a",
	} {
		ask := exec.CommandContext(t.Context(), "make", "--eval", "flags: ; @go env GOFLAGS", "flags")
		ask.Dir, ask.Env = moduleRoot(t), append(os.Environ(), "GOENV=off")
		ask.Env = slices.DeleteFunc(ask.Env, func(variable string) bool { return strings.HasPrefix(variable, "GOFLAGS=") })
		if own != "" {
			ask.Env = append(ask.Env, "GOFLAGS="+own)
		}
		output, err := ask.CombinedOutput()
		if got := strings.TrimSpace(string(output)); err != nil || got != want {
			t.Errorf("with GOFLAGS=%q targets compile with %q, want %q (error %v)", own, got, want, err)
		}
	}
}

func TestLicenseIsApache2(t *testing.T) {
	t.Parallel()
	license := strings.Join(strings.Fields(read(t, "LICENSE")), " ")
	for _, part := range []string{
		"Apache License Version 2.0, January 2004 http://www.apache.org/licenses/", "1. Definitions.",
		"3. Grant of Patent License.", "9. Accepting Warranty or Additional Liability.", "END OF TERMS AND CONDITIONS",
	} {
		if !strings.Contains(license, part) {
			t.Errorf("LICENSE has no %q", part)
		}
	}
}

func TestReadmeNamesItsTwoCommands(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"make demo", "make test"} {
		if !strings.Contains(read(t, "README.md"), "\n    "+command+"\n") {
			t.Errorf("README.md has no line with the command %s", command)
		}
	}
}

// What the table says of kinds is what the code takes; the fields of each are in pkg/flux/FIELDS.md.
func TestReadmesTableIsTrueOfKinds(t *testing.T) {
	t.Parallel()
	works, notYet := readmeTable(t)
	for _, kind := range resource.Kinds() {
		if !strings.Contains(works, kind.Name) {
			t.Errorf("README.md's table does not say that %s works", kind.Name)
		}
	}
	for _, field := range flux.KustomizationFields {
		if strings.Contains(notYet, "`"+field.Path+"`") {
			t.Errorf("README.md's table says that %s does not work yet", field.Path)
		}
	}
}

// readmeTable is the text of the columns of what works and what does not yet.
func readmeTable(t *testing.T) (works, notYet string) {
	t.Helper()
	_, section, found := strings.Cut(read(t, "README.md"), "\n## What works today\n")
	if !found {
		t.Fatal("README.md has no section What works today")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	for line := range strings.Lines(section) {
		if cells := strings.Split(line, "|"); len(cells) == 5 {
			works, notYet = works+cells[2], notYet+cells[3]
		}
	}
	return works, notYet
}
