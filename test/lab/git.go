package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// GitServer serves repositories over HTTP on loopback, with Git's own server program. Protocol version 2, pushes,
// shallow fetches and fetches of any commit by its hash work as they do on the big hosts. It is safe for concurrent
// use.
type GitServer struct {
	*Site
	dir       string
	workspace *workspace // nil when the directory is the caller's
	backend   *cgi.Handler

	mu    sync.Mutex
	repos map[string]*gitRepo
}

// GitConfig says how a GitServer is reached.
type GitConfig struct {
	SiteConfig
	// Dir is an empty directory, made when absent; empty: a temporary one that Stop removes.
	Dir string
}

// gitRepo is what the server knows of one repository.
type gitRepo struct {
	user, password string // both empty: anybody may read and push
	token          string // a bearer's, in place of user and password
	traffic        GitTraffic
}

// GitTraffic counts the requests that a repository answered.
type GitTraffic struct {
	// Advertisements begin an exchange: GET info/refs for reading.
	Advertisements int
	// Listings are questions which refs there are, such as git ls-remote. In protocol version 0 and 1 the advertisement
	// says it, and there are none.
	Listings int
	// Fetches transfer objects.
	Fetches int
	// Pushes are received packs.
	Pushes int
	// Denied are requests without the right user and password, or token.
	Denied int
}

// StartGitServer serves a directory to all, see GitConfig.
func StartGitServer(dir string) (*GitServer, error) { return StartGit(GitConfig{Dir: dir}) }

// StartGit serves the repositories that NewRepo makes.
func StartGit(config GitConfig) (*GitServer, error) {
	s := &GitServer{dir: config.Dir, repos: map[string]*gitRepo{}}
	if err := s.start(config.SiteConfig); err != nil {
		return nil, fmt.Errorf("start Git server: %w", errors.Join(err, s.Stop()))
	}
	return s, nil
}

func (s *GitServer) start(config SiteConfig) error {
	program, err := gitBackend()
	if err != nil {
		return err
	}
	if s.dir == "" {
		if s.workspace, err = newWorkspace(); err != nil {
			return err
		}
		s.dir = filepath.Join(s.workspace.dir, "git")
	}
	if s.dir, err = filepath.Abs(s.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	s.backend = &cgi.Handler{
		Path: program,
		Dir:  s.dir,
		Env:  append(gitEnv(), "GIT_PROJECT_ROOT="+s.dir, "GIT_HTTP_EXPORT_ALL=1"),
	}
	s.Site, err = startSite(config, s)
	return err
}

// gitBackend finds the program that is Git's side of an HTTP server.
func gitBackend() (string, error) {
	path, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		return "", fmt.Errorf("git is not there; install it with: apt-get install -y git: %w", err)
	}
	program := filepath.Join(strings.TrimSpace(string(path)), "git-http-backend")
	if !isFile(program) {
		return "", fmt.Errorf("%s is not there; it belongs to the git package", program)
	}
	return program, nil
}

// Stop ends the server and removes a temporary directory. It may be called more than once.
func (s *GitServer) Stop() error {
	var err error
	if s.Site != nil {
		err = s.Site.Stop()
	}
	if s.workspace != nil {
		err = errors.Join(err, s.workspace.remove())
		s.workspace = nil
	}
	return err
}

// NewRepo makes an empty bare repository whose default branch is main, and returns its URL. A repository that a server
// before this one left in the directory is served again.
func (s *GitServer) NewRepo(name string) (url string, err error) {
	dir := filepath.Join(s.dir, name+".git")
	if _, err := os.Stat(dir); os.IsNotExist(err) {
		if _, err := git(context.Background(), s.dir, "init", "--quiet", "--bare", "--initial-branch=main", dir); err != nil {
			return "", err
		}
	}
	// What pushes to its directory has an environment of its own: nothing is collected behind a test's back.
	for _, setting := range []string{"http.receivepack=true", "uploadpack.allowAnySHA1InWant=true", "uploadpack.allowFilter=true", "gc.auto=0", "receive.autogc=false"} {
		key, value, _ := strings.Cut(setting, "=")
		if _, err := git(context.Background(), dir, "config", key, value); err != nil {
			return "", err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.repos[name] = &gitRepo{}
	return s.URL(name), nil
}

// Protect asks for a user and a password from now on.
func (s *GitServer) Protect(name, user, password string) error {
	return s.protect(name, func(r *gitRepo) { r.user, r.password, r.token = user, password, "" })
}

// ProtectByToken asks for a bearer's token from now on.
func (s *GitServer) ProtectByToken(name, token string) error {
	return s.protect(name, func(r *gitRepo) { r.user, r.password, r.token = "", "", token })
}

func (s *GitServer) protect(name string, change func(*gitRepo)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	repo, ok := s.repos[name]
	if !ok {
		return fmt.Errorf("no repository %s", name)
	}
	change(repo)
	return nil
}

// URL is where a repository is, whether the server is up or down. It holds no password.
func (s *GitServer) URL(name string) string { return s.Site.URL() + "/" + name + ".git" }

// Path is the bare repository's directory.
func (s *GitServer) Path(name string) string { return filepath.Join(s.dir, name+".git") }

// Traffic counts what a repository has answered since NewRepo.
func (s *GitServer) Traffic(name string) GitTraffic {
	s.mu.Lock()
	defer s.mu.Unlock()
	if repo, ok := s.repos[name]; ok {
		return repo.traffic
	}
	return GitTraffic{}
}

// ServeHTTP answers one request of Git's smart protocol.
func (s *GitServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, _, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), ".git/")
	if !ok || !s.known(name) {
		http.NotFound(w, r)
		return
	}
	if !s.authorised(name, r) {
		s.count(name, func(t *GitTraffic) { t.Denied++ })
		w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
		http.Error(w, "user and password, please", http.StatusUnauthorized)
		return
	}
	body, err := wholeBody(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	defer body.Close()
	s.count(name, func(t *GitTraffic) { t.add(r, body) })
	s.backend.ServeHTTP(w, r)
}

func (s *GitServer) known(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.repos[name] != nil
}

func (s *GitServer) authorised(name string, r *http.Request) bool {
	s.mu.Lock()
	repo := *s.repos[name]
	s.mu.Unlock()
	switch {
	case repo.token != "":
		return r.Header.Get("Authorization") == "Bearer "+repo.token
	case repo.user == "" && repo.password == "":
		return true
	}
	return basicAuth(r, repo.user, repo.password)
}

func (s *GitServer) count(name string, change func(*GitTraffic)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.repos[name].traffic)
}

// listen takes the port, or a free one for 0.
func listen(port int) (net.Listener, int, error) {
	for attempt := 0; ; attempt++ {
		candidate := port
		if candidate == 0 {
			var err error
			if candidate, err = freePort(); err != nil {
				return nil, 0, err
			}
		}
		listener, err := net.Listen("tcp", loopback(candidate))
		if err == nil || attempt == 4 {
			return listener, candidate, err
		}
	}
}
