package lab

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Repo is a working copy that commits and pushes. Its methods are not for concurrent use.
type Repo struct {
	// Dir holds the files.
	Dir string
}

// Clone makes a working copy of a server's repository in a directory, which must be absent or empty, on branch main. It
// goes past TLS, and past tokens: there the working copy reads and pushes on the disk.
func (s *GitServer) Clone(ctx context.Context, name, dir string) (*Repo, error) {
	s.mu.Lock()
	repo, ok := s.repos[name]
	if !ok {
		s.mu.Unlock()
		return nil, fmt.Errorf("no repository %s", name)
	}
	remote, err := url.Parse(s.URL(name))
	switch {
	case s.Site.config.Authority != nil || repo.token != "":
		remote = &url.URL{Path: s.Path(name)}
	case repo.user != "" || repo.password != "":
		remote.User = url.UserPassword(repo.user, repo.password)
	}
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	_, err = git(ctx, dir, "clone", "--quiet", remote.String(), ".")
	return &Repo{Dir: dir}, err
}

// Write puts a file in place, its directories included.
func (r *Repo) Write(path, content string) error {
	file := filepath.Join(r.Dir, filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(content), 0o644)
}

// AddSubmodule puts another repository, at one of its commits, below a path: what .gitmodules says, and the commit. The
// next Commit records it.
func (r *Repo) AddSubmodule(ctx context.Context, path, url, commit string) error {
	for key, value := range map[string]string{"path": path, "url": url} {
		if _, err := r.Git(ctx, "config", "--file", ".gitmodules", "submodule."+path+"."+key, value); err != nil {
			return err
		}
	}
	// An empty directory is a submodule that was not fetched; none would be one that was removed.
	if err := os.MkdirAll(filepath.Join(r.Dir, filepath.FromSlash(path)), 0o755); err != nil {
		return err
	}
	_, err := r.Git(ctx, "update-index", "--add", "--cacheinfo", "160000,"+commit+","+path)
	return err
}

// Remove takes a file or a whole directory away.
func (r *Repo) Remove(path string) error {
	return os.RemoveAll(filepath.Join(r.Dir, filepath.FromSlash(path)))
}

// Commit records all that changed, or an empty commit when nothing did, and returns its hash.
func (r *Repo) Commit(ctx context.Context, message string) (hash string, err error) {
	if _, err := r.Git(ctx, "add", "--all"); err != nil {
		return "", err
	}
	if _, err := r.Git(ctx, "commit", "--quiet", "--allow-empty", "--message", message); err != nil {
		return "", err
	}
	return r.Git(ctx, "rev-parse", "HEAD")
}

// Push sends the current branch and all tags, by force.
func (r *Repo) Push(ctx context.Context) error {
	_, err := r.Git(ctx, "push", "--quiet", "--force", "origin", "HEAD", "refs/tags/*:refs/tags/*")
	return err
}

// Git runs any other Git command in the working copy and returns what it wrote, without the last line break.
func (r *Repo) Git(ctx context.Context, args ...string) (output string, err error) {
	return git(ctx, r.Dir, args...)
}

// git runs a Git command that nothing but its arguments influences.
func git(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	cmd.Env = gitEnv()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSuffix(stdout.String(), "\n"), nil
}

// gitEnv keeps the machine's and the user's configuration out, and gives commits an author.
func gitEnv() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + os.DevNull,
		"GIT_CONFIG_GLOBAL=" + os.DevNull,
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=Lab", "GIT_AUTHOR_EMAIL=lab@flotilla.dev",
		"GIT_COMMITTER_NAME=Lab", "GIT_COMMITTER_EMAIL=lab@flotilla.dev",
		// A clone of an empty repository begins on main, whatever this Git was built to use.
		"GIT_CONFIG_COUNT=2",
		"GIT_CONFIG_KEY_0=init.defaultBranch", "GIT_CONFIG_VALUE_0=main",
		"GIT_CONFIG_KEY_1=gc.auto", "GIT_CONFIG_VALUE_1=0",
	}
}
