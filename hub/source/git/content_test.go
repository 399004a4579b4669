package git_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/hub/source/git"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

func TestOnlyPlainFilesMakeATree(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{"a.yaml": "1", "exec.sh": "#!/bin/sh"})
	if err := errors.Join(
		os.Chmod(filepath.Join(b.repo.Dir, "exec.sh"), 0o755),
		os.Symlink("/etc/passwd", filepath.Join(b.repo.Dir, "passwd")),
		os.Symlink("a.yaml", filepath.Join(b.repo.Dir, "kustomization.yaml")),
	); err != nil {
		t.Fatal(err)
	}
	b.git("update-index", "--add", "--cacheinfo", "160000,"+strings.Repeat("1", 40)+",module")
	commit := b.push(nil)
	u := b.upstream(flux.GitReference{Branch: "main"})
	if diff := cmp.Diff(map[string]string{"a.yaml": "1", "exec.sh": "#!/bin/sh"}, b.fetch(u)); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
	tree, err := b.fetcher.Fetch(t.Context(), u, at("main@sha1:"+commit))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"symbolic link kustomization.yaml", "symbolic link passwd"}
	if diff := cmp.Diff(want, tree.Tree.Warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestFluxDefaultsAreIgnored(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{
		"a.yaml": "1", ".gitignore": "x", ".gitattributes": "", "docs/logo.png": "", "b/.github/c.yaml": "", ".travis.yml": "",
		"deep/.sops.yaml": "", "x.tar.gz": "", "x.tgz": "kept", "docs/README.md": "kept",
	})
	want := map[string]string{"a.yaml": "1", "x.tgz": "kept", "docs/README.md": "kept"}
	if diff := cmp.Diff(want, b.fetch(b.upstream(flux.GitReference{Branch: "main"}))); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
}

func TestSourceIgnoreReplacesTheDefaults(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{
		".sourceignore": "# comment\n/*\n!/deploy\n!/logo.png\n", "a.yaml": "", "logo.png": "kept", ".gitignore": "x",
		"deploy/.sourceignore": "secret/\n!secret/keep.yaml\n*.tmp\n", "deploy/a.yaml": "kept", "deploy/b.tmp": "",
		"deploy/secret/s.yaml": "", "deploy/secret/keep.yaml": "kept", "other/c.tmp": "",
	})
	want := map[string]string{
		"logo.png": "kept", "deploy/a.yaml": "kept", "deploy/secret/keep.yaml": "kept", "deploy/.sourceignore": "secret/\n!secret/keep.yaml\n*.tmp\n",
	}
	if diff := cmp.Diff(want, b.fetch(b.upstream(flux.GitReference{Branch: "main"}))); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
}

func TestARepositoryBeyondTheLimitsSaysWhich(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		limits git.Limits
		files  map[string]string
		kind   source.Kind
		want   string
	}{
		"a pack":     {git.Limits{Limits: source.Limits{Download: 100}}, map[string]string{"a.yaml": random(500)}, source.KindLimit, "objects have more than 0 MiB"},
		"objects":    {git.Limits{Objects: 2}, map[string]string{"a.yaml": "1"}, source.KindLimit, "more than 2 objects"},
		"an object":  {git.Limits{Object: 1 << 20}, map[string]string{"a.yaml": strings.Repeat("a", 3<<20)}, source.KindLimit, "an object in its history has 3 MiB"},
		"a file":     {git.Limits{Limits: source.Limits{File: 10}}, map[string]string{"big.yaml": "more than that"}, source.KindLimit, "big.yaml has 14 bytes; a file may have 10; leave it out by .sourceignore"},
		"all files":  {git.Limits{Limits: source.Limits{Tree: 10}}, map[string]string{"a.yaml": "123456", "b.yaml": "abcdef"}, source.KindLimit, "files have more than 0 MiB together"},
		"many files": {git.Limits{Limits: source.Limits{Entries: 1}}, map[string]string{"a.yaml": "1", "b.yaml": "2"}, source.KindLimit, "it has 2 files; a source may have 1"},
		"patterns":   {git.Limits{}, map[string]string{".sourceignore": strings.Repeat("a\n", 10_001)}, source.KindLimit, "a source may have 10000 patterns"},
		"a path":     {git.Limits{}, map[string]string{"a\\b.yaml": "1"}, source.KindContent, `path "a\\b.yaml": it has a backslash`},
		"a deep one": {git.Limits{}, map[string]string{strings.Repeat("d/", 70) + "a": "1"}, source.KindContent, "directories deep"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBundle(t)
			b.push(tc.files)
			u := b.upstream(flux.GitReference{Branch: "main"})
			limited := b.newGit(git.Config{Dir: t.TempDir(), Limits: tc.limits})
			_, err := limited.Fetch(t.Context(), u, b.resolve(u))
			if source.KindOf(err) != tc.kind || !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s error %v; want %s with %q", source.KindOf(err), err, tc.kind, tc.want)
			}
		})
	}
}

func TestIgnoredFilesDoNotCount(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{".sourceignore": "/big\n/odd*\n", "big": strings.Repeat("x", 100), "odd\\name": "1", "a.yaml": "1"})
	u := b.upstream(flux.GitReference{Branch: "main"})
	limited := b.newGit(git.Config{Dir: t.TempDir(), Limits: git.Limits{Limits: source.Limits{File: 50, Entries: 2}}})
	if tree, err := limited.Fetch(t.Context(), u, b.resolve(u)); err != nil || len(tree.Tree.Files) != 2 {
		t.Errorf("tree %v, %v; want two files", tree, err)
	}
}

func TestATreeThatHoldsItselfManyTimesEnds(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{"a": "1"})
	// Ten directories that are the same one, which has ten that are the same one: 10^12 files in a few hundred bytes.
	blob := b.output("hash-object", "-w", "a")
	list := fmt.Sprintf("100644 blob %s\tf\n", blob)
	for range 12 {
		tree := b.input(list, "mktree")
		var next bytes.Buffer
		for i := range 10 {
			fmt.Fprintf(&next, "040000 tree %s\td%d\n", tree, i)
		}
		list = next.String()
	}
	commit := b.output("commit-tree", "-m", "bomb", b.input(list, "mktree"))
	b.git("update-ref", "refs/heads/main", commit)
	b.git("push", "--quiet", "--force", "origin", "main")
	if err := b.try(b.upstream(flux.GitReference{Branch: "main"})); source.KindOf(err) != source.KindLimit {
		t.Errorf("error %v, want one about the limit", err)
	}
}

func TestAnEmptyRepositoryHasNoBranch(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	if err := b.try(b.upstream(flux.GitReference{Branch: "main"})); source.KindOf(err) != source.KindRef || !strings.Contains(err.Error(), "the repository is empty") {
		t.Errorf("error %v, want that the repository is empty", err)
	}
}

func TestAStoreThatFailsIsNoFailureOfTheUpstream(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{"a.yaml": "1"})
	b.store.fail = errors.New("no space: secret detail")
	err := b.try(b.upstream(flux.GitReference{Branch: "main"}))
	if source.KindOf(err) != source.KindStore || !errors.Is(err, b.store.fail) || strings.Contains(err.Error(), "secret detail") {
		t.Errorf("%s error %v, want one of the store that shows no detail", source.KindOf(err), err)
	}
}

// output runs Git in the working copy and returns what it printed.
func (b *bundle) output(args ...string) string {
	b.t.Helper()
	out, err := b.repo.Git(b.t.Context(), args...)
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

// input does so with something to read, through a file, as lab's Git reads none.
func (b *bundle) input(text string, command string) string {
	b.t.Helper()
	file := filepath.Join(b.t.TempDir(), "input")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
	return b.output("-c", "alias.read=!f() { git "+command+" < '"+file+"'; }; f", "read")
}

// random is text that does not compress.
func random(length int) string {
	digest := fleet.DigestOf([]byte("seed"))
	var out strings.Builder
	for out.Len() < length {
		out.WriteString(digest.String())
		digest = fleet.DigestOf(digest.Bytes())
	}
	return out.String()
}
