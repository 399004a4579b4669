package lab_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"flotilla.dev/flotilla/test/lab"
)

func TestPushedCommitIsCloned(t *testing.T) {
	t.Parallel()
	server, repo := gitRepo(t, "app")
	hash := commit(t, repo, "deploy/app.yaml", "kind: ConfigMap\n")

	clone, err := server.Clone(t.Context(), "app", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}

	if got := run(t, clone, "rev-parse", "main"); got != hash {
		t.Errorf("clone is at %s, want %s", got, hash)
	}
	if content, err := os.ReadFile(filepath.Join(clone.Dir, "deploy/app.yaml")); string(content) != "kind: ConfigMap\n" {
		t.Errorf("content = %q, %v", content, err)
	}
}

func TestRemovedFileIsGoneFromTheNextCommit(t *testing.T) {
	t.Parallel()
	_, repo := gitRepo(t, "app")
	commit(t, repo, "dir/a", "a")
	if err := repo.Remove("dir"); err != nil {
		t.Fatal(err)
	}
	commit(t, repo, "b", "b")
	if files := run(t, repo, "ls-tree", "-r", "--name-only", "origin/main"); files != "b" {
		t.Errorf("files = %q, want b alone", files)
	}
}

func TestAnyCommitIsFetchedByHash(t *testing.T) {
	t.Parallel()
	server, repo := gitRepo(t, "app")
	first := commit(t, repo, "file", "1")
	commit(t, repo, "file", "2")

	other := &lab.Repo{Dir: t.TempDir()}
	run(t, other, "init", "--quiet")
	run(t, other, "fetch", "--quiet", "--depth=1", server.URL("app"), first)

	if got := run(t, other, "rev-parse", "FETCH_HEAD"); got != first {
		t.Errorf("fetched %s, want %s", got, first)
	}
}

func TestPushLargerThanGitBuffersArrives(t *testing.T) {
	t.Parallel()
	_, repo := gitRepo(t, "app")
	run(t, repo, "config", "http.postBuffer", "65536")
	run(t, repo, "config", "core.compression", "0")
	hash := commit(t, repo, "large", strings.Repeat("0123456789abcdef", 64<<10))
	if got := strings.Fields(run(t, repo, "ls-remote", "origin", "main"))[0]; got != hash {
		t.Errorf("remote is at %s, want %s", got, hash)
	}
}

func TestProtectedRepoWantsItsPassword(t *testing.T) {
	t.Parallel()
	server, repo := gitRepo(t, "app")
	commit(t, repo, "file", "1")
	if err := server.Protect("app", "reader", "secret"); err != nil {
		t.Fatal(err)
	}

	if _, err := repo.Git(t.Context(), "ls-remote", server.URL("app")); err == nil {
		t.Error("read without a password")
	}
	clone, err := server.Clone(t.Context(), "app", t.TempDir())
	if err != nil {
		t.Fatalf("with the password: %v", err)
	}
	commit(t, clone, "file", "2")
	if denied := server.Traffic("app").Denied; denied == 0 {
		t.Error("no request was counted as denied")
	}
}

func TestServerThatIsDownRefusesAndComesBack(t *testing.T) {
	t.Parallel()
	server, repo := gitRepo(t, "app")
	hash := commit(t, repo, "file", "1")
	url := server.URL("app")

	server.Down()
	if _, err := repo.Git(t.Context(), "ls-remote", url); err == nil {
		t.Error("a server that is down answered")
	}
	if err := server.Up(); err != nil {
		t.Fatal(err)
	}

	if got := run(t, repo, "ls-remote", url, "refs/heads/main"); !strings.HasPrefix(got, hash) {
		t.Errorf("after it came back: %q, want %s", got, hash)
	}
}

func TestTrafficIsCounted(t *testing.T) {
	t.Parallel()
	server, repo := gitRepo(t, "app")
	commit(t, repo, "file", "1")
	before := server.Traffic("app")
	if before.Pushes != 1 {
		t.Errorf("pushes = %d, want 1", before.Pushes)
	}

	run(t, repo, "ls-remote", "origin")
	listed := server.Traffic("app")
	if listed.Listings != before.Listings+1 || listed.Fetches != before.Fetches {
		t.Errorf("after a listing: %+v, before: %+v", listed, before)
	}
	if _, err := server.Clone(t.Context(), "app", t.TempDir()); err != nil {
		t.Fatal(err)
	}
	if cloned := server.Traffic("app"); cloned.Fetches != listed.Fetches+1 || cloned.Advertisements != listed.Advertisements+1 {
		t.Errorf("after a clone: %+v, before: %+v", cloned, listed)
	}
}

// gitRepo is a server of the test's own with one empty repository, cloned.
func gitRepo(t *testing.T, name string) (*lab.GitServer, *lab.Repo) {
	t.Helper()
	server := lab.TestGit(t)
	if _, err := server.NewRepo(name); err != nil {
		t.Fatal(err)
	}
	repo, err := server.Clone(t.Context(), name, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return server, repo
}

// commit writes a file, commits and pushes it.
func commit(t *testing.T, repo *lab.Repo, path, content string) (hash string) {
	t.Helper()
	if err := repo.Write(path, content); err != nil {
		t.Fatal(err)
	}
	hash, err := repo.Commit(t.Context(), fmt.Sprintf("Change %s", path))
	if err != nil {
		t.Fatal(err)
	}
	if err := repo.Push(t.Context()); err != nil {
		t.Fatal(err)
	}
	return hash
}

func run(t *testing.T, repo *lab.Repo, args ...string) string {
	t.Helper()
	output, err := repo.Git(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return output
}
