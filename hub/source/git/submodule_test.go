package git_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/test/lab"
)

func TestSubmodulesAreFetchedWithTheirRepository(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{"a.yaml": "1"})
	lib := b.another("lib", map[string]string{"lib.yaml": "2", "x/y": "3", ".sourceignore": "/x\n"})
	b.submodule("deep/lib", "../lib.git", lib)
	b.push(nil)
	want := map[string]string{"a.yaml": "1", "deep/lib/lib.yaml": "2", "deep/lib/.sourceignore": "/x\n"}
	if diff := cmp.Diff(want, b.fetch(b.recursive())); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"a.yaml": "1"}, b.fetch(b.upstream(flux.GitReference{Branch: "main"}))); diff != "" {
		t.Errorf("tree without submodules (-want +got):\n%s", diff)
	}
	before := b.lab.Traffic("lib")
	b.push(map[string]string{"a.yaml": "changed"})
	want["a.yaml"] = "changed"
	if diff := cmp.Diff(want, b.fetch(b.recursive())); diff != "" {
		t.Errorf("tree after a change (-want +got):\n%s", diff)
	}
	if b.lab.Traffic("lib") != before {
		t.Error("a submodule that did not change was asked for")
	}
	b.store.reset() // what is taken over has to be read again
	if diff := cmp.Diff(want, b.fetch(b.recursive())); diff != "" {
		t.Errorf("tree after a loss (-want +got):\n%s", diff)
	}
	if err := b.fetcher.Retain(t.Context(), []string{b.recursive().Remote}); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(b.dir, "*")); len(left) != 2 {
		t.Errorf("mirrors %v are left, want the repository's and its submodule's", left)
	}
	if err := b.fetcher.Retain(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(b.dir, "*")); len(left) != 0 {
		t.Errorf("mirrors %v are left", left)
	}
}

func TestSubmodulesThatLeadAstrayAreRefused(t *testing.T) {
	t.Parallel()
	commit := strings.Repeat("1", 40)
	shared := newBundle(t)
	shared.another("lib", map[string]string{"a": "1"})
	shared.gitlink("module", commit)
	for name, tc := range map[string]struct {
		url  string
		kind source.Kind
		want string
	}{
		"a file":                {"file:///etc", source.KindContent, `scheme "file" is not http`},
		"a path":                {"/etc", source.KindContent, `is not http`},
		"a helper":              {"ext::sh -c touch% /tmp/x", source.KindContent, "url in .gitmodules"},
		"an option":             {"--upload-pack=touch /tmp/x", source.KindContent, "url in .gitmodules"},
		"an option as -u":       {"-u./payload", source.KindContent, "url in .gitmodules"},
		"an option of SSH":      {"ssh://-oProxyCommand=x/repo", source.KindAuth, "ssh needs a key"},
		"a user as an option":   {"ssh://-oProxyCommand=x@host/repo", source.KindContent, "holds credentials"},
		"git's own":             {"git://127.0.0.1/x", source.KindContent, `scheme "git" is not http`},
		"above the root":        {"../../../../x", source.KindContent, "leads above the server's root"},
		"the metadata service":  {"http://169.254.169.254/latest", source.KindAddress, "is not allowed"},
		"none":                  {"", source.KindContent, "url"},
		"another repository":    {"../none.git", source.KindRepository, "no such repository"},
		"a query":               {"http://127.0.0.1:1/x?y=z", source.KindContent, "has a query"},
		"without its commit":    {"../lib.git", source.KindRef, "commit " + commit + " not found"},
		"itself":                {"../repo.git", source.KindRef, "not found"},
		"another host over SSH": {"git@127.0.0.1:x/y", source.KindAuth, "ssh needs a key"},
	} {
		t.Run(name, func(t *testing.T) {
			b := shared.in(t)
			content := "[submodule \"x\"]\n\tpath = module\n\turl = \"" + tc.url + "\"\n"
			b.push(map[string]string{".gitmodules": content})
			err := b.try(b.recursive())
			if source.KindOf(err) != tc.kind || !strings.Contains(fmt.Sprint(err), tc.want) || !strings.Contains(fmt.Sprint(err), "submodule module") {
				t.Errorf("%s error %v; want %s with %q that names the submodule", source.KindOf(err), err, tc.kind, tc.want)
			}
		})
	}
}

func TestARepositoryWithinItselfEnds(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	commit := b.push(map[string]string{"a.yaml": "1"})
	b.git("config", "--file", ".gitmodules", "submodule.me.path", "me")
	b.git("config", "--file", ".gitmodules", "submodule.me.url", "./")
	for range 14 {
		b.gitlink("me", commit)
		b.git("add", "--all")
		b.git("commit", "--quiet", "--message=deeper")
		commit = b.output("rev-parse", "HEAD")
	}
	b.push(nil)
	err := b.try(b.recursive())
	if source.KindOf(err) != source.KindLimit || !strings.Contains(err.Error(), "in one another; 10 are allowed") {
		t.Errorf("error %v, want that there are too many in one another", err)
	}
}

// submodule adds one at a path of the working copy, by a URL as it is to stand there.
func (b *bundle) submodule(path, url, commit string) {
	b.t.Helper()
	b.git("config", "--file", ".gitmodules", "submodule."+path+".path", path)
	b.git("config", "--file", ".gitmodules", "submodule."+path+".url", url)
	b.gitlink(path, commit)
}

// gitlink adds a submodule's commit, with a directory for it, without which the next commit would take it away.
func (b *bundle) gitlink(path, commit string) {
	b.t.Helper()
	if err := os.MkdirAll(filepath.Join(b.repo.Dir, path), 0o700); err != nil {
		b.t.Fatal(err)
	}
	b.git("update-index", "--add", "--cacheinfo", "160000,"+commit+","+path)
}

// another is a repository beside the bundle's, on the same server.
func (b *bundle) another(name string, files map[string]string) (commit string) {
	b.t.Helper()
	if _, err := b.lab.NewRepo(name); err != nil {
		b.t.Fatal(err)
	}
	repo, err := b.lab.Clone(b.t.Context(), name, filepath.Join(b.t.TempDir(), name))
	if err != nil {
		b.t.Fatal(err)
	}
	return pushTo(b.t, repo, files)
}

func pushTo(t *testing.T, repo *lab.Repo, files map[string]string) string {
	t.Helper()
	for path, content := range files {
		if err := repo.Write(path, content); err != nil {
			t.Fatal(err)
		}
	}
	commit, err := repo.Commit(t.Context(), "change")
	if err == nil {
		err = repo.Push(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return commit
}

func (b *bundle) recursive() source.Upstream {
	u := b.upstream(flux.GitReference{Branch: "main"})
	u.ID += "recursive"
	change(&u, func(spec *flux.GitRepository) { spec.RecurseSubmodules = true })
	return u
}
