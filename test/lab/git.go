package lab

import (
	"context"
	"crypto/subtle"
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
	"time"
)

// GitServer serves repositories over HTTP on loopback, with Git's own server program. Protocol version 2, pushes,
// shallow fetches and fetches of any commit by its hash work as they do on the big hosts. It is safe for concurrent
// use.
type GitServer struct {
	dir       string
	workspace *workspace // nil when the directory is the caller's
	backend   *cgi.Handler
	port      int

	mu     sync.Mutex
	http   *http.Server // nil while down
	served chan struct{}
	repos  map[string]*gitRepo
}

// gitRepo is what the server knows of one repository.
type gitRepo struct {
	user, password string // both empty: anybody may read and push
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
	// Denied are requests without the right user and password.
	Denied int
}

// StartGitServer serves an empty directory, made when absent; empty: a temporary one that Stop removes.
func StartGitServer(dir string) (*GitServer, error) {
	s := &GitServer{dir: dir, repos: map[string]*gitRepo{}}
	if err := s.start(); err != nil {
		return nil, fmt.Errorf("start Git server: %w", errors.Join(err, s.Stop()))
	}
	return s, nil
}

func (s *GitServer) start() error {
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
	return s.Up()
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

// Up begins to listen, after Down on the same port as before.
func (s *GitServer) Up() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http != nil {
		return nil
	}
	listener, port, err := listen(s.port)
	if err != nil {
		return err
	}
	s.port = port
	server := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener) // ends by Close only
	}()
	s.http, s.served = server, served
	return nil
}

// Down refuses connections, and breaks those that are open.
func (s *GitServer) Down() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http == nil {
		return
	}
	_ = s.http.Close()
	<-s.served
	s.http = nil
}

// Stop ends the server and removes a temporary directory. It may be called more than once.
func (s *GitServer) Stop() error {
	s.Down()
	if s.workspace == nil {
		return nil
	}
	w := s.workspace
	s.workspace = nil
	return w.remove()
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
	for _, setting := range []string{"http.receivepack", "uploadpack.allowAnySHA1InWant", "uploadpack.allowFilter"} {
		if _, err := git(context.Background(), dir, "config", setting, "true"); err != nil {
			return "", err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.repos[name] = &gitRepo{}
	return s.url(name), nil
}

// Protect asks for a user and a password from now on.
func (s *GitServer) Protect(name, user, password string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	repo, ok := s.repos[name]
	if !ok {
		return fmt.Errorf("no repository %s", name)
	}
	repo.user, repo.password = user, password
	return nil
}

// URL is where a repository is, whether the server is up or down. It holds no password.
func (s *GitServer) URL(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.url(name)
}

func (s *GitServer) url(name string) string {
	return "http://" + loopback(s.port) + "/" + name + ".git"
}

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
	if repo.user == "" && repo.password == "" {
		return true
	}
	user, password, _ := r.BasicAuth()
	return subtle.ConstantTimeCompare([]byte(user), []byte(repo.user)) == 1 &&
		subtle.ConstantTimeCompare([]byte(password), []byte(repo.password)) == 1
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
