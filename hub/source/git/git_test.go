package git_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/hub/source/git"
	"flotilla.dev/flotilla/pkg/flux"
)

func TestGitFollowsABranch(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	first := b.push(map[string]string{"a.yaml": "1", "dir/b.yaml": "2", "run.sh": "#!/bin/sh"})
	u := b.upstream(flux.GitReference{Branch: "main"})
	if got := b.resolve(u); got != at("main@sha1:"+first) {
		t.Errorf("revision %s, want main@sha1:%s", got, first)
	}
	if diff := cmp.Diff(map[string]string{"a.yaml": "1", "dir/b.yaml": "2", "run.sh": "#!/bin/sh"}, b.fetch(u)); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
	second := b.push(map[string]string{"a.yaml": "changed", "new.yaml": "3"})
	if got := b.resolve(u); got != at("main@sha1:"+second) {
		t.Errorf("revision %s, want main@sha1:%s", got, second)
	}
	want := map[string]string{"a.yaml": "changed", "dir/b.yaml": "2", "run.sh": "#!/bin/sh", "new.yaml": "3"}
	if diff := cmp.Diff(want, b.fetch(u)); diff != "" {
		t.Errorf("tree after a push (-want +got):\n%s", diff)
	}
}

func TestGitFollowsTagsAndCommits(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	first := b.push(map[string]string{"a.yaml": "1"})
	b.git("tag", "light")
	b.git("tag", "--annotate", "--message=x", "heavy")
	second := b.push(map[string]string{"a.yaml": "2"})
	for _, tc := range []struct {
		ref      flux.GitReference
		revision string
		content  string
	}{
		{flux.GitReference{Tag: "light"}, "light@sha1:" + first, "1"},
		{flux.GitReference{Tag: "heavy", Branch: "main"}, "heavy@sha1:" + first, "1"},
		{flux.GitReference{Commit: first}, "sha1:" + first, "1"},
		{flux.GitReference{Commit: first, Branch: "main", Tag: "light"}, "main@sha1:" + first, "1"},
		{flux.GitReference{Branch: "main"}, "main@sha1:" + second, "2"},
	} {
		u := b.upstream(tc.ref)
		if got := b.resolve(u); got != at(tc.revision) {
			t.Errorf("%s: revision %s, want %s", tc.ref, got, tc.revision)
		}
		if got := b.fetch(u); got["a.yaml"] != tc.content {
			t.Errorf("%s: tree %v, want a.yaml: %s", tc.ref, got, tc.content)
		}
	}
}

func TestGitWithoutRefFollowsMaster(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{"a.yaml": "main"})
	b.git("checkout", "--quiet", "-b", "master")
	commit := b.push(map[string]string{"a.yaml": "master"})
	if got := b.resolve(b.upstream(flux.GitReference{})); got != at("master@sha1:"+commit) {
		t.Errorf("revision %s, want master@sha1:%s", got, commit)
	}
}

func TestGitFetchesACommitThatTheServerGivesOnlyWithItsBranch(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	first := b.push(map[string]string{"a.yaml": "1"})
	b.push(map[string]string{"a.yaml": "2"})
	for _, setting := range []string{"uploadpack.allowAnySHA1InWant", "uploadpack.allowReachableSHA1InWant", "uploadpack.allowTipSHA1InWant"} {
		b.server("config", setting, "false")
	}
	for _, ref := range []flux.GitReference{{Commit: first}, {Commit: first, Branch: "main"}} {
		if got := b.fetch(b.upstream(ref)); got["a.yaml"] != "1" {
			t.Errorf("%+v: tree %v, want a.yaml: 1", ref, got)
		}
	}
	// A revision that the branch has left behind is in its history.
	u := b.upstream(flux.GitReference{Branch: "main"})
	tree, err := b.fetcher.Fetch(t.Context(), u, at("main@sha1:"+first))
	if err != nil || len(tree.Tree.Files) != 1 {
		t.Errorf("an older revision of the branch: %v", err)
	}
}

func TestAnUnchangedUpstreamCostsOneListing(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{"a.yaml": "1"})
	u := b.upstream(flux.GitReference{Branch: "main"})
	b.fetch(u)
	before := b.lab.Traffic("repo")
	b.resolve(u)
	after := b.lab.Traffic("repo")
	after.Advertisements--
	if before != after {
		t.Errorf("traffic went from %+v to %+v, want one advertisement more", before, after)
	}
	b.fetch(u)
	if got := b.lab.Traffic("repo"); got.Fetches != before.Fetches {
		t.Errorf("what was fetched already was fetched again: %+v", got)
	}
}

func TestAChangeCostsOneListingAndTheObjectsThatChanged(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	files := map[string]string{}
	for _, name := range strings.Split("abcdefghijklmnopqrstuvwxyz", "") {
		files[name+".yaml"] = name + random(4000)
	}
	b.push(files)
	u := b.upstream(flux.GitReference{Branch: "main"})
	b.fetch(u)
	puts := b.store.puts()
	b.push(map[string]string{"a.yaml": "changed"})
	before, bytes := b.lab.Traffic("repo"), b.counter("flotilla_source_received_bytes_total")
	revision := b.resolve(u)
	if _, err := b.fetcher.Fetch(t.Context(), u, revision); err != nil {
		t.Fatal(err)
	}
	after := b.lab.Traffic("repo")
	if after.Advertisements-before.Advertisements != 1 || after.Fetches-before.Fetches != 1 {
		t.Errorf("traffic went from %+v to %+v, want one advertisement and one transfer", before, after)
	}
	if got := b.counter("flotilla_source_received_bytes_total") - bytes; got > 3000 {
		t.Errorf("%.0f bytes came for one small file", got)
	}
	if got := b.store.puts() - puts; got != 1 {
		t.Errorf("%d blobs were put for one changed file", got)
	}
}

func TestABlobThatTheStoreLostIsPutAgain(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{"a.yaml": "1"})
	u := b.upstream(flux.GitReference{Branch: "main"})
	b.fetch(u)
	b.store.reset()
	if got := b.fetch(u); got["a.yaml"] != "1" {
		t.Errorf("tree %v, want a.yaml: 1", got)
	}
}

func TestGitFollowsAForcePush(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{"a.yaml": "1"})
	b.push(map[string]string{"a.yaml": "2"})
	u := b.upstream(flux.GitReference{Branch: "main"})
	b.fetch(u)
	b.git("reset", "--quiet", "--hard", "HEAD~1")
	b.push(map[string]string{"a.yaml": "3"})
	b.server("reflog", "expire", "--expire=now", "--all")
	b.server("gc", "--quiet", "--prune=now")
	if got := b.fetch(u); got["a.yaml"] != "3" {
		t.Errorf("tree %v, want a.yaml: 3", got)
	}
	b.git("checkout", "--quiet", "--orphan", "fresh")
	b.git("branch", "--move", "--force", "main")
	b.push(map[string]string{"a.yaml": "4"})
	if got := b.fetch(u); got["a.yaml"] != "4" {
		t.Errorf("tree %v of unrelated history, want a.yaml: 4", got)
	}
}

func TestADamagedMirrorIsFetchedAnew(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(dir string) error{
		"packs cut off": func(dir string) error {
			packs, err := filepath.Glob(filepath.Join(dir, "*", "objects", "pack", "*.pack"))
			for _, pack := range packs {
				err = errors.Join(err, os.Chmod(pack, 0o600), os.Truncate(pack, 40))
			}
			return err
		},
		"packs with other bytes": func(dir string) error {
			packs, err := filepath.Glob(filepath.Join(dir, "*", "objects", "pack", "*.pack"))
			for _, pack := range packs {
				data, readErr := os.ReadFile(pack)
				for i := 20; i < len(data)-20; i++ {
					data[i] ^= 0xff
				}
				err = errors.Join(err, readErr, os.Chmod(pack, 0o600), os.WriteFile(pack, data, 0o600))
			}
			return err
		},
		"packs gone": func(dir string) error {
			packs, err := filepath.Glob(filepath.Join(dir, "*", "objects", "pack", "*"))
			for _, pack := range packs {
				err = errors.Join(err, os.Remove(pack))
			}
			return err
		},
		"everything gone": os.RemoveAll,
		"half a fetch left": func(dir string) error {
			dirs, err := filepath.Glob(filepath.Join(dir, "*"))
			return errors.Join(err, os.WriteFile(filepath.Join(dirs[0], "received-1"), []byte("x"), 0o600),
				os.WriteFile(filepath.Join(dirs[0], "objects", "pack", "tmp_pack_1"), []byte("x"), 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBundle(t)
			b.push(map[string]string{"a.yaml": "1"})
			u := b.upstream(flux.GitReference{Branch: "main"})
			b.fetch(u)
			if err := damage(b.dir); err != nil {
				t.Fatal(err)
			}
			b.push(map[string]string{"b.yaml": "2"})
			if diff := cmp.Diff(map[string]string{"a.yaml": "1", "b.yaml": "2"}, b.fetch(u)); diff != "" {
				t.Errorf("tree (-want +got):\n%s", diff)
			}
			left, _ := filepath.Glob(filepath.Join(b.dir, "*", "received-*"))
			if len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestASecondGitTakesOverTheMirror(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{"a.yaml": "1"})
	u := b.upstream(flux.GitReference{Branch: "main"})
	b.fetch(u)
	before := b.lab.Traffic("repo")
	again := b.newGit(git.Config{})
	if _, err := again.Fetch(t.Context(), u, b.resolve(u)); err != nil {
		t.Fatal(err)
	}
	if got := b.lab.Traffic("repo"); got.Fetches != before.Fetches {
		t.Errorf("the mirror was not used: %+v", got)
	}
}

func TestManyFetchesOfOneUpstreamTransferOnce(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{"a.yaml": "1"})
	u := b.upstream(flux.GitReference{Branch: "main"})
	revision := b.resolve(u)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if _, err := b.fetcher.Fetch(t.Context(), u, revision); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if got := b.lab.Traffic("repo"); got.Fetches != 1 {
		t.Errorf("traffic %+v, want one transfer", got)
	}
}

func TestAnEndedContextIsNoFailureOfTheUpstream(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{"a.yaml": "1"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	u := b.upstream(flux.GitReference{Branch: "main"})
	_, err := b.fetcher.Resolve(ctx, u)
	_, err2 := b.fetcher.Fetch(ctx, u, at("main@sha1:"+strings.Repeat("0", 40)))
	if !errors.Is(err, context.Canceled) || !errors.Is(err2, context.Canceled) || source.KindOf(err) != source.KindCanceled {
		t.Errorf("errors %v and %v, want that of the context", err, err2)
	}
}
