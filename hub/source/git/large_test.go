package git_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/hub/source/git"
	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/test/lab"
)

const (
	// mostWritten is what a commit of one file may write to the store.
	mostWritten = 64 << 10
	// mostGrown is what the hub may grow by meanwhile.
	mostGrown = 64 << 20
)

// It has the process for itself: others' memory would count.
func TestACommitOfOneFileAmongManyTakesLittle(t *testing.T) {
	r := newLarge(t, 20_000, 5_000)
	db := newDatabase(t)
	store := &askedStore{Keeper: db}
	f := r.fetched(store)
	before := memoryNow()
	f.fetch(t)
	memoryNow()
	for range 3 {
		r.fastImport(r.commit())
		began, asked := db.now(), store.asked.Load()
		stop := watchMemory()
		tree := f.fetch(t)
		grown := stop().heap - before.heap
		if file, _ := tree.Lookup(r.changed()); len(tree.Files) != 20_000 || file.Digest != fleet.DigestOf([]byte(r.content())) {
			t.Fatalf("%d files, %+v among them", len(tree.Files), file)
		}
		if rows, log := db.writtenSince(began); rows > mostWritten || rows < float64(len(r.content())) {
			t.Errorf("%.0f bytes were written to the store, and %.0f to the log, for a file of 20,000", rows, log)
		}
		if got := store.asked.Load() - asked; got > 2000 {
			t.Errorf("the store was asked for %d blobs", got)
		}
		if grown > mostGrown {
			t.Errorf("the heap grew by %.0f bytes", grown)
		}
	}
}

func TestManyFetchesLeaveFewPacks(t *testing.T) {
	t.Parallel()
	r := newLarge(t, 30, 1)
	f := r.fetched(&artifact.Memory{})
	for i := range 50 {
		r.fastImport(r.commit())
		tree := f.fetch(t)
		if file, _ := tree.Lookup(r.changed()); file.Digest != fleet.DigestOf([]byte(r.content())) {
			t.Fatalf("commit %d is not in the tree", i)
		}
	}
	packs, err := filepath.Glob(filepath.Join(f.dir, "*", "objects", "pack", "*.pack"))
	if err != nil || len(packs) == 0 || len(packs) > 42 {
		t.Errorf("%d packs after 50 fetches, error %v", len(packs), err)
	}
	if transfers := r.server.Traffic("repo").Fetches; transfers != 50 {
		t.Errorf("%d transfers for 50 commits", transfers)
	}
}

// askedStore counts the blobs that it is asked for.
type askedStore struct {
	artifact.Keeper
	asked atomic.Int64
}

func (s *askedStore) Missing(ctx context.Context, digests []fleet.Digest) ([]fleet.Digest, error) {
	s.asked.Add(int64(len(digests)))
	return s.Keeper.Missing(ctx, digests)
}

// large is a repository of many files and commits on a server.
type large struct {
	tb     testing.TB
	server *lab.GitServer
	url    string
	files  int
	next   int
	// inScript is how many commits the script has so far.
	inScript int
}

func newLarge(tb testing.TB, files, commits int) *large {
	tb.Helper()
	server, err := lab.StartGitServer("")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = server.Stop() })
	r := &large{tb: tb, server: server, files: files}
	if r.url, err = server.NewRepo("repo"); err != nil {
		tb.Fatal(err)
	}
	var script strings.Builder
	script.WriteString("commit refs/heads/main\ncommitter x <x@x> 1700000000 +0000\ndata 1\nx\n")
	for i := range files {
		content := random(300) + fmt.Sprint(i)
		fmt.Fprintf(&script, "M 644 inline %s\ndata %d\n%s\n", r.path(i), len(content), content)
	}
	r.inScript++ // the others follow it
	for r.next < commits {
		script.WriteString(r.commit())
	}
	r.fastImport(script.String())
	return r
}

func (r *large) path(i int) string { return fmt.Sprintf("apps/%d/%d/%d.yaml", i/500, i/25, i) }

// changed is the path of the file that the latest commit has changed.
func (r *large) changed() string { return r.path(r.next * 7919 % r.files) }

// content is what that commit has made of it.
func (r *large) content() string { return fmt.Sprint("changed by ", r.next) }

// commit is one of a single file, for fast-import.
func (r *large) commit() string {
	r.next++
	from := ""
	if r.inScript == 0 {
		from = "from refs/heads/main^0\n" // later ones follow by themselves
	}
	r.inScript++
	return fmt.Sprintf("commit refs/heads/main\ncommitter x <x@x> %d +0000\ndata 1\nx\n%sM 644 inline %s\ndata %d\n%s\n",
		1700000000+r.next, from, r.changed(), len(r.content()), r.content())
}

func (r *large) fastImport(script string) {
	r.tb.Helper()
	r.inScript = 0
	run := exec.Command("git", "fast-import", "--quiet")
	run.Dir = r.server.Path("repo")
	run.Stdin = strings.NewReader(script)
	if out, err := run.CombinedOutput(); err != nil {
		r.tb.Fatalf("git fast-import: %v\n%s", err, out)
	}
}

func (r *large) git(dir string, args ...string) {
	r.tb.Helper()
	run := exec.Command("git", args...)
	run.Dir = dir
	run.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null")
	if out, err := run.CombinedOutput(); err != nil {
		r.tb.Fatalf("git %v: %v\n%s", args, err, out)
	}
}

// fetched keeps a repository up to date in a Git, down to the stored Tree.
type fetched struct {
	fetcher  *git.Git
	store    artifact.Keeper
	upstream source.Upstream
	dir      string
}

func (f fetched) fetch(tb testing.TB) *artifact.Tree {
	tb.Helper()
	found, err := f.fetcher.Resolve(tb.Context(), f.upstream)
	if err != nil {
		tb.Fatal(err)
	}
	got, err := f.fetcher.Fetch(tb.Context(), f.upstream, found)
	if err == nil {
		err = f.store.PutNodes(tb.Context(), got.Tree.Nodes())
	}
	if err != nil {
		tb.Fatal(err)
	}
	return got.Tree
}

func (r *large) fetched(store artifact.Keeper) fetched {
	r.tb.Helper()
	dir := r.tb.TempDir()
	fetcher, err := git.New(git.Config{Dir: dir, Store: store, Network: network(source.Addresses{}), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		r.tb.Fatal(err)
	}
	r.tb.Cleanup(fetcher.Close)
	u := (&bundle{url: r.url}).upstream(flux.GitReference{Branch: "main"})
	u.Timeout = 10 * time.Minute
	return fetched{fetcher, store, u, dir}
}
