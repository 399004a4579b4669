package git_test

import (
	"os"
	"sync"
	"testing"

	"flotilla.dev/flotilla/hub/source/git"
	"flotilla.dev/flotilla/pkg/flux"
)

func TestRetainRemovesMirrorsOfNoUse(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{"a.yaml": "1"})
	kept, dropped := b.upstream(flux.GitReference{Branch: "main"}), b.upstream(flux.GitReference{Branch: "main"})
	dropped.Remote = "other"
	b.fetch(kept)
	b.fetch(dropped)
	if err := b.fetcher.Retain(t.Context(), []string{kept.Remote}); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(b.dir); len(left) != 1 {
		t.Errorf("%d mirrors are left, want 1", len(left))
	}
	b.fetch(kept)
	b.fetch(dropped)
}

func TestRetainRemovesMirrorsOfAHubBefore(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{"a.yaml": "1"})
	b.fetch(b.upstream(flux.GitReference{Branch: "main"}))
	again := b.newGit(git.Config{})
	if err := again.Retain(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(b.dir); len(left) != 0 {
		t.Errorf("%d mirrors are left", len(left))
	}
}

// An upstream that is named again after it was to go is fetched anew, by one at a time.
func TestFetchesGoOnWhileTheirMirrorIsRemoved(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{"a.yaml": "1", "b.yaml": "2"})
	u := b.upstream(flux.GitReference{Branch: "main"})
	revision := b.resolve(u)
	stop := make(chan struct{})
	var retaining, fetching sync.WaitGroup
	retaining.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := b.fetcher.Retain(t.Context(), nil); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 4 {
		fetching.Go(func() {
			for range 10 {
				if tree, err := b.fetcher.Fetch(t.Context(), u, revision); err != nil || len(tree.Tree.Files) != 2 {
					t.Errorf("tree %v, error %v", tree, err)
				}
			}
		})
	}
	fetching.Wait()
	close(stop)
	retaining.Wait()
}
