package git_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/test/lab"
)

// A submodule is named by whoever may write to the repository: the credential must not be theirs for the naming.
func TestACredentialIsNotGivenToSubmodulesElsewhere(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{"a.yaml": "1"})
	lib := b.another("lib", map[string]string{"lib.yaml": "2"})
	elsewhere := lab.TestSite(t, lab.SiteConfig{}, b.lab)
	b.submodule("here", "../lib.git", lib)
	b.submodule("there", strings.Replace(elsewhere.URL(), "//", "//anna:hunter2@", 1)+"/lib.git", lib)
	b.push(nil)
	b.protect("anna", "hunter2")
	u := b.recursive()
	u.Secrets = secret("username", "anna", "password", "hunter2")
	want := map[string]string{"a.yaml": "1", "here/lib.yaml": "2", "there/lib.yaml": "2"}
	if diff := cmp.Diff(want, b.fetch(u)); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
	if shown := elsewhere.Count(func(v lab.Visit) bool { return v.Header.Get("Authorization") != "" }); shown > 0 || len(elsewhere.Visits()) == 0 {
		t.Errorf("another server was shown the credential %d times in %d requests", shown, len(elsewhere.Visits()))
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

// A proxy may have a user and a password of the administrator's, and reach what the hub does not: of a Credential's it is for
// its own host.
func TestALentProxyIsNotGoneThroughToSubmodulesElsewhere(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{"a.yaml": "1"})
	lib := b.another("lib", map[string]string{"lib.yaml": "2"})
	elsewhere := lab.TestSite(t, lab.SiteConfig{}, b.lab)
	b.submodule("here", "../lib.git", lib)
	b.submodule("there", elsewhere.URL()+"/lib.git", lib)
	b.push(nil)
	for name, own := range map[string]bool{"lent": false, "its own": true} {
		proxy := lab.TestProxy(t, lab.ProxyConfig{})
		u := b.recursive()
		if own {
			change(&u, func(spec *flux.GitRepository) { spec.ProxySecretRef = &flux.SecretRef{Name: "proxy"} })
		}
		u.Secrets = source.Secrets{"proxySecretRef": {"address": []byte(proxy.URL())}}
		u.ID, u.Remote = u.ID+name, u.Remote+name
		want := map[string]string{"a.yaml": "1", "here/lib.yaml": "2", "there/lib.yaml": "2"}
		if diff := cmp.Diff(want, b.fetch(u)); diff != "" {
			t.Errorf("%s: tree (-want +got):\n%s", name, diff)
		}
		at := proxy.Count(func(v lab.Visit) bool { return strings.Contains(v.Path, "/lib.git/") })
		if proxy.Passed(b.lab.Host()) == 0 || at == 0 || own != (proxy.Passed(elsewhere.Host()) > 0) {
			t.Errorf("%s: %d requests passed the proxy to the source's host, %d elsewhere", name, proxy.Passed(b.lab.Host()), proxy.Passed(elsewhere.Host()))
		}
	}
}

// A repository elsewhere may name a submodule of the source's host: that is asked for without the credential, and must not
// stand in the way of the source's own.
func TestASubmoduleNamedFromElsewhereIsAnotherThanTheSourcesOwn(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{"a.yaml": "1"})
	lib := b.another("lib", map[string]string{"lib.yaml": "2"})
	elsewhere := lab.TestSite(t, lab.SiteConfig{}, b.lab)
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
	b.submodule("a-foreign", elsewhere.URL()+"/foreign.git", foreign)
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
