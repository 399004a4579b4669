package git_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/hub/source/git"
	"flotilla.dev/flotilla/pkg/flux"
)

// noise is what no pack makes smaller.
func noise(seed uint64, size int) string {
	random := rand.New(rand.NewPCG(seed, 0))
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(random.Uint32())
	}
	return string(data)
}

func TestMirrorsHaveSoMuchRoomTogether(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{"a.bin": noise(1, 256<<10)})
	b.fetcher = b.newGit(git.Config{Dir: t.TempDir(), Limits: git.Limits{Mirrors: 640 << 10}}) // of two
	remote := func(name string) source.Upstream {
		u := b.upstream(flux.GitReference{Branch: "main"})
		u.Remote = name
		return u
	}
	fetches := func(name string) int {
		before := b.lab.Traffic("repo").Fetches
		b.fetch(remote(name))
		return int(b.lab.Traffic("repo").Fetches - before)
	}
	for _, step := range []struct {
		name string
		want int
	}{
		{"a", 1}, {"b", 1}, {"a", 0}, {"c", 1}, // b goes: a was used after it
		{"a", 0}, {"c", 0}, {"b", 1}, {"a", 1}, // each has to be fetched again once it is gone
	} {
		if got := fetches(step.name); got != step.want {
			t.Fatalf("%d transfers for %s in %v, want %d", got, step.name, step, step.want)
		}
	}
}

func TestAHubsMirrorsAreMadeToFitWhenItStarts(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{"a.bin": noise(1, 256<<10)})
	var remotes []string
	for i := range 4 {
		u := b.upstream(flux.GitReference{Branch: "main"})
		u.Remote = fmt.Sprint(i)
		remotes = append(remotes, u.Remote)
		b.fetch(u)
	}
	next := b.newGit(git.Config{Limits: git.Limits{Mirrors: 640 << 10}})
	if err := next.Retain(t.Context(), remotes); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(b.dir); len(left) != 2 {
		t.Errorf("%d mirrors are left, want the two there is room for", len(left))
	}
}

func TestRetainRemovesMirrorsOfSubmodulesThatNobodyUses(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{"a.yaml": "1"})
	b.submodule("lib", "../lib.git", b.another("lib", map[string]string{"lib.yaml": "2"}))
	b.push(nil)
	u := b.recursive()
	b.fetch(u)
	mirrors, err := filepath.Glob(filepath.Join(b.dir, "*"))
	if err != nil || len(mirrors) != 2 {
		t.Fatalf("mirrors %v, error %v", mirrors, err)
	}
	long := time.Now().Add(-25 * time.Hour)
	for _, mirror := range mirrors {
		if err := os.Chtimes(mirror, long, long); err != nil {
			t.Fatal(err)
		}
	}
	b.fetcher = b.newGit(git.Config{})
	if err := b.fetcher.Retain(t.Context(), []string{u.Remote}); err != nil {
		t.Fatal(err)
	}
	left, _ := filepath.Glob(filepath.Join(b.dir, "*"))
	if len(left) != 1 || len(filepath.Base(left[0])) != 64 {
		t.Errorf("mirrors %v are left, want the source's own", left)
	}
	if got := b.fetch(u); len(got) != 2 {
		t.Errorf("tree %v", got)
	}
}

func TestSubmodulesAreBoundedTogether(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{"a.yaml": "1"})
	for i := range 3 {
		name := fmt.Sprint("lib", i)
		b.submodule(name, "../"+name+".git", b.another(name, map[string]string{"a.bin": noise(uint64(i), 128<<10)}))
	}
	b.push(nil)
	for mirrors, want := range map[int64]source.Kind{1200 << 10: source.KindLimit, 2 << 20: ""} {
		b.fetcher = b.newGit(git.Config{Dir: t.TempDir(), Limits: git.Limits{Mirrors: mirrors}})
		_, err := b.fetcher.Resolve(t.Context(), b.recursive())
		if err == nil {
			_, err = b.fetcher.Fetch(t.Context(), b.recursive(), b.resolve(b.recursive()))
		}
		if (err != nil) != (want != "") || err != nil && (source.KindOf(err) != want || !strings.Contains(err.Error(), "its submodules have more than")) {
			t.Errorf("with %d bytes for mirrors: error %v, want %s", mirrors, err, want)
		}
	}
}
