package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// GitSSHConfig says how repositories are reached over SSH.
type GitSSHConfig struct {
	// HostKeys are kinds of keys (see SSHKinds), of which the server makes one each; none: ed25519.
	HostKeys []string
	// Algorithms of key exchange; none: the usual ones.
	KeyExchanges []string
}

// GitSSH serves the repositories of a GitServer over SSH, for reading. It is safe for concurrent use.
type GitSSH struct {
	Faults

	git    *GitServer
	config *ssh.ServerConfig
	hosts  []*SSHKey

	mu          sync.Mutex
	port        int
	listener    net.Listener // nil while down
	open        map[net.Conn]bool
	running     sync.WaitGroup
	allowed     map[string]bool // public keys
	connections int
	denied      int
	traffic     map[string]int // sessions by repository
}

// StartGitSSH serves what the GitServer has now and later, whether that is up or down. Nobody may read yet.
func StartGitSSH(git *GitServer, config GitSSHConfig) (*GitSSH, error) {
	if len(config.HostKeys) == 0 {
		config.HostKeys = []string{"ed25519"}
	}
	s := &GitSSH{git: git, open: map[net.Conn]bool{}, allowed: map[string]bool{}, traffic: map[string]int{}}
	s.config = &ssh.ServerConfig{PublicKeyCallback: s.authorise, MaxAuthTries: 6}
	s.config.KeyExchanges = config.KeyExchanges
	for _, kind := range config.HostKeys {
		key, err := NewSSHKey(kind)
		if err != nil {
			return nil, err
		}
		s.config.AddHostKey(key.signer)
		s.hosts = append(s.hosts, key)
	}
	return s, s.Up()
}

// TestGitSSH is a server of the test's own.
func TestGitSSH(t testing.TB, git *GitServer, config GitSSHConfig) *GitSSH {
	t.Helper()
	s, err := StartGitSSH(git, config)
	if err != nil {
		t.Fatal(err)
	}
	stopAfter(t, s.Stop)
	return s
}

// Allow lets whoever has the key read.
func (s *GitSSH) Allow(key *SSHKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.allowed[string(key.signer.PublicKey().Marshal())] = true
}

// Forbid takes a key's right away.
func (s *GitSSH) Forbid(key *SSHKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.allowed, string(key.signer.PublicKey().Marshal()))
}

// URL is where a repository is.
func (s *GitSSH) URL(name string) string { return "ssh://git@" + s.Host() + "/" + name + ".git" }

// Host is address and port.
func (s *GitSSH) Host() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return loopback(s.port)
}

// KnownHosts has a line for every host key.
func (s *GitSSH) KnownHosts() string {
	host, port, _ := net.SplitHostPort(s.Host())
	var lines strings.Builder
	for _, key := range s.hosts {
		fmt.Fprintf(&lines, "[%s]:%s %s\n", host, port, key.Public())
	}
	return lines.String()
}

// Connections counts those that were accepted, Denied the keys that were not.
func (s *GitSSH) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.connections
}

// Denied counts keys that may not read.
func (s *GitSSH) Denied() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.denied
}

// Sessions counts how often a repository was asked for, whatever then was wanted of it.
func (s *GitSSH) Sessions(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.traffic[name]
}

// Up begins to listen, after Down on the same port as before.
func (s *GitSSH) Up() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil {
		return nil
	}
	inner, port, err := listen(s.port)
	if err != nil {
		return err
	}
	s.port, s.listener = port, s.Listener(inner)
	s.running.Add(1)
	go s.accept(s.listener)
	return nil
}

// Down refuses connections, and breaks those that are open.
func (s *GitSSH) Down() {
	s.mu.Lock()
	if s.listener != nil {
		_ = s.listener.Close()
	}
	for conn := range s.open {
		_ = conn.Close()
	}
	s.listener = nil
	s.mu.Unlock()
	s.running.Wait()
}

// Stop ends the server. It may be called more than once.
func (s *GitSSH) Stop() error {
	s.Clear()
	s.Down()
	return nil
}

func (s *GitSSH) authorise(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.allowed[string(key.Marshal())] {
		return nil, nil
	}
	s.denied++
	return nil, errors.New("nobody has that key")
}

func (s *GitSSH) accept(listener net.Listener) {
	defer s.running.Done()
	for {
		conn, err := listener.Accept()
		if err != nil {
			return // it is down
		}
		s.mu.Lock()
		if s.listener != listener {
			_ = conn.Close()
			s.mu.Unlock()
			return
		}
		s.open[conn] = true
		s.connections++
		s.running.Add(1)
		s.mu.Unlock()
		go s.serve(conn)
	}
}

func (s *GitSSH) serve(conn net.Conn) {
	defer s.running.Done()
	defer func() {
		_ = conn.Close()
		s.mu.Lock()
		delete(s.open, conn)
		s.mu.Unlock()
	}()
	server, channels, requests, err := ssh.NewServerConn(conn, s.config)
	if err != nil {
		return // a client that may not read, or left
	}
	var sessions sync.WaitGroup
	defer sessions.Wait()
	defer server.Close()
	sessions.Go(func() { ssh.DiscardRequests(requests) })
	for offered := range channels {
		if offered.ChannelType() != "session" {
			_ = offered.Reject(ssh.UnknownChannelType, "sessions only")
			continue
		}
		channel, asked, err := offered.Accept()
		if err != nil {
			return
		}
		sessions.Go(func() { s.session(conn, channel, asked) })
	}
}

// session runs the one program that is asked for.
func (s *GitSSH) session(conn net.Conn, channel ssh.Channel, requests <-chan *ssh.Request) {
	defer channel.Close()
	protocol := ""
	for request := range requests {
		switch request.Type {
		case "env":
			var variable struct{ Name, Value string }
			if ssh.Unmarshal(request.Payload, &variable) == nil && variable.Name == "GIT_PROTOCOL" {
				protocol = variable.Value
			}
			_ = request.Reply(true, nil)
		case "exec":
			var command struct{ Line string }
			name, ok := "", ssh.Unmarshal(request.Payload, &command) == nil
			if ok {
				name, ok = s.asked(command.Line)
			}
			_ = request.Reply(true, nil)
			code := uint32(128)
			if ok {
				code = s.upload(conn, channel, requests, name, protocol)
			} else {
				_, _ = fmt.Fprintln(channel.Stderr(), SecretOfServer+": repository not found")
			}
			_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{code}))
			return
		default:
			_ = request.Reply(false, nil)
		}
	}
}

// asked is the repository of "git-upload-pack '/name.git'".
func (s *GitSSH) asked(line string) (name string, ok bool) {
	program, path, _ := strings.Cut(line, " ")
	name = strings.TrimSuffix(strings.TrimPrefix(strings.Trim(path, "'"), "/"), ".git")
	if (program != "git-upload-pack" && program != "git upload-pack") || !s.git.known(name) {
		return name, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.traffic[name]++
	return name, true
}

func (s *GitSSH) upload(conn net.Conn, channel ssh.Channel, requests <-chan *ssh.Request, name, protocol string) uint32 {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		defer cancel() // the client has left
		ssh.DiscardRequests(requests)
	}()
	out := s.stream(channel, func() { _ = conn.Close() }, func(f *Fault) func(*faultyStream, []byte) error { return f.stream })
	defer context.AfterFunc(ctx, out.end)()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "git", "upload-pack", s.git.Path(name))
	cmd.Env = append(gitEnv(), "GIT_PROTOCOL="+protocol)
	cmd.Stdout, cmd.Stderr = out, &stderr
	cmd.WaitDelay = 10 * time.Second
	// A pipe, since the program may end before its client has closed this side.
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return 128
	}
	go func() {
		_, _ = io.Copy(stdin, channel)
		_ = stdin.Close()
	}()
	if err := cmd.Run(); err != nil {
		_, _ = channel.Stderr().Write(stderr.Bytes())
		return 128
	}
	return 0
}
