package git_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/test/lab"
)

func TestSpecIgnoreComesAfterTheRepositorysFiles(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{".sourceignore": "/secret\n", "secret/a": "kept", "docs/b": "", "logo.png": "kept", "app/c": "kept"})
	u := b.upstream(flux.GitReference{Branch: "main"})
	patterns := "!/secret/a\n/docs\n.sourceignore\n"
	change(&u, func(spec *flux.GitRepository) { spec.Ignore = &patterns })
	if diff := cmp.Diff(map[string]string{"secret/a": "kept", "logo.png": "kept", "app/c": "kept"}, b.fetch(u)); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
	// Others hold at once, for what did not change as well.
	patterns = "/app\n/docs\n.sourceignore\n"
	if diff := cmp.Diff(map[string]string{"logo.png": "kept"}, b.fetch(u)); diff != "" {
		t.Errorf("tree by other patterns (-want +got):\n%s", diff)
	}
	b.push(map[string]string{".sourceignore": "/other\n"})
	patterns = ""
	want := map[string]string{"secret/a": "kept", "logo.png": "kept", "app/c": "kept", "docs/b": "", ".sourceignore": "/other\n"}
	if diff := cmp.Diff(want, b.fetch(u)); diff != "" {
		t.Errorf("tree by another file (-want +got):\n%s", diff)
	}
}

func TestASparseCheckoutHasItsDirectoriesAlone(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{"a/x": "1", "a/b/y": "2", "a/bc": "3", "c/z": "4", "root": "5", ".sourceignore": "/a/b\n", "d/.sourceignore": "no\n", "d/no": "", "d/yes": "6"})
	whole := b.upstream(flux.GitReference{Branch: "main"})
	b.fetch(whole)
	for _, tc := range []struct {
		directories []string
		want        map[string]string
	}{
		{[]string{"./a/b"}, map[string]string{"a/b/y": "2"}}, // the ignore file of the root is not checked out, as in Flux
		{[]string{"c", "a/b/"}, map[string]string{"a/b/y": "2", "c/z": "4"}},
		{[]string{"a"}, map[string]string{"a/x": "1", "a/b/y": "2", "a/bc": "3"}},
		{[]string{"d"}, map[string]string{"d/.sourceignore": "no\n", "d/yes": "6"}},
		{[]string{"."}, map[string]string{"a/x": "1", "a/bc": "3", "c/z": "4", "root": "5", ".sourceignore": "/a/b\n", "d/.sourceignore": "no\n", "d/yes": "6"}},
	} {
		u := b.upstream(flux.GitReference{Branch: "main"})
		u.ID = fmt.Sprint(tc.directories)
		change(&u, func(spec *flux.GitRepository) { spec.SparseCheckout = tc.directories })
		for range 2 { // and again, by what is known then
			if diff := cmp.Diff(tc.want, b.fetch(u)); diff != "" {
				t.Errorf("%v (-want +got):\n%s", tc.directories, diff)
			}
		}
	}
	if got := b.fetch(whole); len(got) != 7 {
		t.Errorf("the whole tree has %d files after sparse ones", len(got))
	}
	u := b.upstream(flux.GitReference{Branch: "main"})
	change(&u, func(spec *flux.GitRepository) { spec.SparseCheckout = []string{"a", "none/x"} })
	if err := b.try(u); source.KindOf(err) != source.KindContent || !strings.Contains(err.Error(), `no directory "none/x"; check spec.sparseCheckout`) {
		t.Errorf("error %v, want that there is no such directory", err)
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
		"an option of SSH":      {"ssh://-oProxyCommand=x/repo", source.KindInvalid, "ssh needs a key"},
		"a user as an option":   {"ssh://-oProxyCommand=x@host/repo", source.KindContent, "holds credentials"},
		"git's own":             {"git://127.0.0.1/x", source.KindContent, `scheme "git" is not http`},
		"above the root":        {"../../../../x", source.KindContent, "leads above the server's root"},
		"the metadata service":  {"http://169.254.169.254/latest", source.KindAddress, "is not allowed"},
		"none":                  {"", source.KindContent, "url"},
		"another repository":    {"../none.git", source.KindRepository, "no such repository"},
		"a query":               {"http://127.0.0.1:1/x?y=z", source.KindContent, "has a query"},
		"without its commit":    {"../lib.git", source.KindRef, "commit " + commit + " not found"},
		"itself":                {"../repo.git", source.KindRef, "not found"},
		"another host over SSH": {"git@127.0.0.1:x/y", source.KindInvalid, "ssh needs a key"},
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

// A submodule is named by whoever may write to the repository: the credential must not be theirs for the naming.
func TestACredentialIsNotGivenToSubmodulesElsewhere(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{"a.yaml": "1"})
	lib := b.another("lib", map[string]string{"lib.yaml": "2"})
	var mu sync.Mutex
	shown := map[string]bool{}
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		shown[r.Header.Get("Authorization")] = true
		mu.Unlock()
		b.lab.ServeHTTP(w, r)
	}))
	t.Cleanup(elsewhere.Close)
	b.submodule("here", "../lib.git", lib)
	b.submodule("there", strings.Replace(elsewhere.URL, "//", "//anna:hunter2@", 1)+"/lib.git", lib)
	b.push(nil)
	b.protect("anna", "hunter2")
	u := b.recursive()
	u.Secrets = secret("username", "anna", "password", "hunter2")
	want := map[string]string{"a.yaml": "1", "here/lib.yaml": "2", "there/lib.yaml": "2"}
	if diff := cmp.Diff(want, b.fetch(u)); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
	if len(shown) != 1 || !shown[""] {
		t.Errorf("another server was shown %v", shown)
	}
	if err := b.lab.Protect("lib", "anna", "hunter2"); err != nil {
		t.Fatal(err)
	}
	other := u
	other.Remote += "again"
	b.protect("", "")
	b.git("rm", "--quiet", "--cached", "there")
	b.git("config", "--file", ".gitmodules", "--remove-section", "submodule.there")
	b.push(nil)
	b.protect("anna", "hunter2")
	if diff := cmp.Diff(map[string]string{"a.yaml": "1", "here/lib.yaml": "2"}, b.fetch(other)); diff != "" {
		t.Errorf("tree with the credential's submodule (-want +got):\n%s", diff)
	}
}

// What an administrator gives for a prefix would else get at all that it may read at that server.
func TestACredentialIsNotGivenToSubmodulesOutsideOfWhatItIsFor(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{"a.yaml": "1"})
	b.submodule("lib", "../lib.git", b.another("lib", map[string]string{"lib.yaml": "2"}))
	b.push(nil)
	for _, name := range []string{"repo", "lib"} {
		if err := b.lab.Protect(name, "anna", "hunter2"); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		within string
		kind   source.Kind // empty: it is fetched
	}{{"", ""}, {strings.TrimSuffix(b.lab.URL("repo"), "/repo.git"), ""}, {b.lab.URL("repo"), source.KindAuth}} {
		u := b.recursive()
		u.Secrets, u.Within = secret("username", "anna", "password", "hunter2"), test.within
		u.ID, u.Remote = u.ID+test.within, u.Remote+test.within
		err := b.try(u)
		if test.kind == "" && err != nil || test.kind != "" && (source.KindOf(err) != test.kind || !strings.Contains(err.Error(), "lib")) {
			t.Errorf("within %q: %v", test.within, err)
		}
	}
}

// stored is an input whose Tree has these files.
func (b *bundle) stored(i int, name string, files map[string]string) source.Input {
	b.t.Helper()
	blobs := map[fleet.Digest][]byte{}
	var list []artifact.File
	for path, content := range files {
		digest := fleet.DigestOf([]byte(content))
		blobs[digest] = []byte(content)
		list = append(list, artifact.File{Path: path, Digest: digest, Size: int64(len(content))})
	}
	tree, err := artifact.NewTree(list)
	if err == nil {
		err = b.store.Put(b.t.Context(), blobs)
	}
	nodes := tree.Nodes()
	if err == nil {
		err = b.store.PutNodes(b.t.Context(), nodes)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return source.Input{Field: fmt.Sprintf("include[%d].repository", i), Name: name, Revision: "main@sha1:x", Tree: tree.Digest(), TreeBlob: nodes[len(nodes)-1].Digest}
}

func including(u source.Upstream, includes ...flux.GitInclude) source.Upstream {
	change(&u, func(spec *flux.GitRepository) { spec.Include = includes })
	return u
}

func TestOtherRepositoriesAreIncluded(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{"a.yaml": "1", "dir/b": "2"})
	u := including(b.upstream(flux.GitReference{Branch: "main"}),
		flux.GitInclude{Repository: flux.SecretRef{Name: "one"}},
		flux.GitInclude{Repository: flux.SecretRef{Name: "two"}, FromPath: "./deploy", ToPath: "dir/two/"})
	u.Inputs = []source.Input{
		b.stored(0, "one", map[string]string{"x": "3", "y/z": "4"}),
		b.stored(1, "two", map[string]string{"deploy/c": "5", "deploy/d/e": "6", "other": "7"}),
	}
	puts := b.store.puts()
	want := map[string]string{"a.yaml": "1", "dir/b": "2", "one/x": "3", "one/y/z": "4", "dir/two/c": "5", "dir/two/d/e": "6"}
	if diff := cmp.Diff(want, b.fetch(u)); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
	if got := b.store.puts() - puts; got != 2 {
		t.Errorf("%d blobs were put, want the repository's own two", got)
	}
	before := b.resolve(u)
	got, err := b.fetcher.Fetch(t.Context(), named(u), before)
	if err != nil || len(got.Detail.Included) != 2 || got.Detail.Included[1] != (fleet.IncludedArtifact{Name: "two", Revision: "main@sha1:x", Tree: u.Inputs[1].Tree}) {
		t.Errorf("detail %+v, error %v", got, err)
	}
	u.Inputs[0] = b.stored(0, "one", map[string]string{"x": "8"})
	if after := b.resolve(u); after.Inputs == before.Inputs || after.Inputs.IsZero() || after.Revision != before.Revision {
		t.Errorf("found %v, and %v with another input", before, after)
	}
	if got := b.fetch(u); got["one/x"] != "8" || got["one/y/z"] != "" {
		t.Errorf("tree %v with another input", got)
	}
}

func TestIncludesThatCannotBeSayWhy(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{"a.yaml": "1", "dir/b": "2"})
	one := b.stored(0, "one", map[string]string{"x": "3", "y/z": "4"})
	nothing := source.Input{Field: "include[0].repository", Name: "one"}
	for name, tc := range map[string]struct {
		include flux.GitInclude
		inputs  []source.Input
		kind    source.Kind
		want    string
	}{
		"not declared":        {flux.GitInclude{}, nil, source.KindInput, "there is no GitRepository one in the namespace"},
		"nothing yet":         {flux.GitInclude{}, []source.Input{nothing}, source.KindInput, "GitRepository one has no artifact yet"},
		"no such directory":   {flux.GitInclude{FromPath: "none"}, []source.Input{one}, source.KindInput, "spec.include[0].fromPath: GitRepository one has no directory none at main@sha1:x"},
		"a file":              {flux.GitInclude{FromPath: "x"}, []source.Input{one}, source.KindInput, "has no directory x"},
		"over a file":         {flux.GitInclude{ToPath: "a.yaml"}, []source.Input{one}, source.KindContent, "spec.include[0].toPath: a.yaml is there already"},
		"over a directory":    {flux.GitInclude{ToPath: "dir"}, []source.Input{one}, source.KindContent, "is there already"},
		"below a file":        {flux.GitInclude{ToPath: "a.yaml/x"}, []source.Input{one}, source.KindContent, "is there already"},
		"over all":            {flux.GitInclude{ToPath: "."}, []source.Input{one}, source.KindContent, "is there already"},
		"out of the tree":     {flux.GitInclude{ToPath: "../x"}, []source.Input{one}, source.KindInvalid, "leads out of the repository"},
		"from out of another": {flux.GitInclude{FromPath: "../../etc"}, []source.Input{one}, source.KindInvalid, "leads out of the repository"},
	} {
		tc.include.Repository.Name = "one"
		u := including(b.upstream(flux.GitReference{Branch: "main"}), tc.include)
		u.Inputs = tc.inputs
		if err := b.try(u); source.KindOf(err) != tc.kind || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %s error %v; want %s with %q", name, source.KindOf(err), err, tc.kind, tc.want)
		}
	}
}

func TestTheDetailRepeatsWhatTheArtifactWasMadeBy(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{"a/b": "1"})
	u := b.recursive()
	patterns := "x"
	change(&u, func(spec *flux.GitRepository) {
		spec.Ignore, spec.SparseCheckout = &patterns, []string{"./a"}
		spec.Include = []flux.GitInclude{{Repository: flux.SecretRef{Name: "one"}, ToPath: "y"}}
	})
	u.Inputs = []source.Input{b.stored(0, "one", map[string]string{"x/y": "3"})}
	got, err := b.fetcher.Fetch(t.Context(), named(u), b.resolve(u))
	if err != nil {
		t.Fatal(err)
	}
	var observed, want any
	_ = json.Unmarshal([]byte(`{"observedIgnore":"x","observedRecurseSubmodules":true,"observedInclude":[{"repository":{"name":"one"},"toPath":"y"}],"observedSparseCheckout":["./a"]}`), &want)
	if err := json.Unmarshal(got.Detail.Observed, &observed); err != nil || !cmp.Equal(observed, want) || got.Detail.Size != 1 {
		t.Errorf("detail %s of %d bytes, error %v", got.Detail.Observed, got.Detail.Size, err)
	}
}

// A repository elsewhere may name a submodule of the source's host: that is asked for without the credential, and must not
// stand in the way of the source's own.
func TestASubmoduleNamedFromElsewhereIsAnotherThanTheSourcesOwn(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{"a.yaml": "1"})
	lib := b.another("lib", map[string]string{"lib.yaml": "2"})
	elsewhere := httptest.NewServer(b.lab)
	t.Cleanup(elsewhere.Close)
	b.another("foreign", map[string]string{
		".gitmodules": "[submodule \"lib\"]\n\tpath = lib\n\turl = " + strings.TrimSuffix(b.url, "repo.git") + "lib.git\n",
	})
	repo, err := b.lab.Clone(t.Context(), "foreign", filepath.Join(t.TempDir(), "foreign"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(repo.Dir, "lib"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := repo.Git(t.Context(), "update-index", "--add", "--cacheinfo", "160000,"+lib+",lib"); err != nil {
		t.Fatal(err)
	}
	foreign := pushTo(t, repo, nil)
	b.submodule("a-foreign", elsewhere.URL+"/foreign.git", foreign)
	b.submodule("lib", "../lib.git", lib)
	b.push(nil)
	b.protect("anna", "hunter2")
	u := b.recursive()
	u.Secrets = secret("username", "anna", "password", "hunter2")
	if err := b.lab.Protect("lib", "anna", "hunter2"); err != nil {
		t.Fatal(err)
	}
	// As the foreign one names it, it is private.
	if err := b.try(u); source.KindOf(err) != source.KindAuth || !strings.Contains(err.Error(), "submodule a-foreign") {
		t.Fatalf("%s error %v, want that the foreign one's submodule needs a credential", source.KindOf(err), err)
	}
	b.protect("", "")
	b.git("rm", "--quiet", "--cached", "a-foreign")
	b.git("config", "--file", ".gitmodules", "--remove-section", "submodule.a-foreign")
	b.push(nil)
	b.protect("anna", "hunter2")
	want := map[string]string{"a.yaml": "1", "lib/lib.yaml": "2"}
	if diff := cmp.Diff(want, b.fetch(u)); diff != "" {
		t.Errorf("tree after the foreign one is gone (-want +got):\n%s", diff)
	}
}
