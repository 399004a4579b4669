package git_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/flux"
)

func TestGitFollowsTheHighestVersion(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	commits := map[string]string{}
	for _, tag := range []string{"v1.0.0", "1.2.0", "v1.10.0", "v1.11.0-rc.1", "v2.0.0", "v3", "2", "latest", "v1.12"} {
		commits[tag] = b.push(map[string]string{"a.yaml": tag})
		if tag == "1.2.0" {
			b.git("tag", "--annotate", "--message=x", tag)
		} else {
			b.git("tag", tag)
		}
	}
	b.git("push", "--quiet", "--tags", "origin")
	for versions, want := range map[string]string{
		"1.x": "v1.10.0", ">=1.0.0 <1.10.0": "1.2.0", ">=1.0.0-0 <2.0.0": "v1.11.0-rc.1", "*": "v2.0.0", "~1.2": "1.2.0",
		"1.11.0-rc.1": "v1.11.0-rc.1",
	} {
		// It goes before a tag and a branch.
		u := b.upstream(flux.GitReference{SemVer: versions, Tag: "v1.0.0", Branch: "main"})
		if got := b.resolve(u); got != at(want+"@sha1:"+commits[want]) {
			t.Errorf("%s: revision %s, want %s", versions, got.Revision, want)
		}
		if got := b.fetch(u); got["a.yaml"] != want {
			t.Errorf("%s: tree %v, want that of %s", versions, got, want)
		}
	}
	err := b.try(b.upstream(flux.GitReference{SemVer: ">=4"}))
	if source.KindOf(err) != source.KindRef || !strings.Contains(err.Error(), `no tag is a version within ">=4"`) {
		t.Errorf("error %v, want that no tag fits", err)
	}
}

// As in Flux, versions that differ by their metadata only are told apart by when they were committed.
func TestVersionsOfTheSameRankAreToldApartByTheirTime(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	commits := map[string]string{}
	for i, tag := range []string{"v1.0.0+b", "v1.0.0+c", "v1.0.0+a"} {
		if err := b.repo.Write("a.yaml", tag); err != nil {
			t.Fatal(err)
		}
		b.git("add", "--all")
		b.git("-c", "user.name=x", "-c", "user.email=x@x", "-c", fmt.Sprintf("alias.at=!GIT_COMMITTER_DATE='2020-01-0%d 00:00 +0000' git commit --quiet -m x", 1+(i+1)%3), "at")
		commits[tag] = b.output("rev-parse", "HEAD")
		b.git("tag", tag)
	}
	b.git("push", "--quiet", "--tags", "origin", "HEAD:main")
	u := b.upstream(flux.GitReference{SemVer: "1.x"})
	if got := b.resolve(u); got != at("v1.0.0+c@sha1:"+commits["v1.0.0+c"]) {
		t.Errorf("revision %s, want v1.0.0+c, which is the youngest", got.Revision)
	}
	before := b.lab.Traffic("repo").Fetches
	b.resolve(u)
	if after := b.lab.Traffic("repo").Fetches; after != before {
		t.Errorf("%d transfers to tell again", after-before)
	}
}

func TestGitFollowsARefByItsName(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	first := b.push(map[string]string{"a.yaml": "1"})
	b.git("push", "--quiet", "origin", "HEAD:refs/pull/1/head")
	second := b.push(map[string]string{"a.yaml": "2"})
	for name, tc := range map[string]struct{ commit, content string }{
		"refs/pull/1/head": {first, "1"}, "refs/heads/main": {second, "2"},
	} {
		u := b.upstream(flux.GitReference{Name: name, SemVer: "1.x", Tag: "none", Branch: "none"})
		if got := b.resolve(u); got != at(name+"@sha1:"+tc.commit) {
			t.Errorf("%s: revision %s", name, got.Revision)
		}
		if got := b.fetch(u); got["a.yaml"] != tc.content {
			t.Errorf("%s: tree %v, want a.yaml: %s", name, got, tc.content)
		}
	}
	u := b.upstream(flux.GitReference{Name: "refs/pull/1/head", Commit: second, Branch: "main"})
	if got := b.resolve(u); got != at("main@sha1:"+second) {
		t.Errorf("with a commit: revision %s, want main@sha1:%s", got.Revision, second)
	}
	err := b.try(b.upstream(flux.GitReference{Name: "refs/pull/2/head"}))
	if source.KindOf(err) != source.KindRef || !strings.Contains(err.Error(), "ref refs/pull/2/head not found") {
		t.Errorf("error %v, want that there is no such ref", err)
	}
}

func TestOddNamesOfRefsLeadNowhere(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	commit := strings.Repeat("1", 40)
	names := []string{
		"refs/tags/v9.0.0/../../../x", "refs/tags/v9.0.2\x1b[31m", "refs/tags/v9.0.3+" + strings.Repeat("a", 300),
		"refs/tags/v9.0.4+..", "refs/tags/v9.0.5.lock", "refs/tags/v99999999999999999999999.0.0", "refs/tags/v1.0.0",
	}
	u := b.upstream(flux.GitReference{SemVer: "*"})
	u.URL = serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, advertised(commit, names...)) })
	if got := b.resolve(u); got != at("v1.0.0@sha1:"+commit) {
		t.Errorf("revision %q, want v1.0.0", got.Revision)
	}
}

// advertised is a server's list of refs that are all at one commit.
func advertised(commit string, names ...string) string {
	var out strings.Builder
	line := func(text string) { fmt.Fprintf(&out, "%04x%s", len(text)+4, text) }
	line("# service=git-upload-pack\n")
	out.WriteString("0000")
	for i, name := range names {
		if i == 0 {
			name += "\x00side-band-64k ofs-delta allow-reachable-sha1-in-want"
		}
		line(commit + " " + name + "\n")
	}
	out.WriteString("0000")
	return out.String()
}
