package git_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/flux"
)

// sshServer serves a directory's repositories over SSH.
type sshServer struct {
	address string
	host    ssh.Signer
	user    ssh.PublicKey // who may read
	asked   atomic.Int64  // sessions
}

func newKey(t *testing.T) (ssh.Signer, []byte, ed25519.PrivateKey) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	return signer, pem.EncodeToMemory(block), private
}

func serveSSH(t *testing.T, b *bundle, host ssh.Signer, user ssh.PublicKey) *sshServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sshServer{address: listener.Addr().String(), host: host, user: user}
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if string(key.Marshal()) != string(s.user.Marshal()) {
			return nil, errors.New("another key")
		}
		return nil, nil
	}}
	config.AddHostKey(host)
	t.Cleanup(func() { _ = listener.Close() })
	dir := filepath.Dir(b.lab.Path("repo"))
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go s.serve(conn, config, dir)
		}
	}()
	return s
}

func (s *sshServer) serve(conn net.Conn, config *ssh.ServerConfig, dir string) {
	defer conn.Close()
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for incoming := range channels {
		channel, requests, err := incoming.Accept()
		if err != nil {
			return
		}
		for request := range requests {
			if request.Type != "exec" {
				_ = request.Reply(false, nil)
				continue
			}
			_ = request.Reply(true, nil)
			s.asked.Add(1)
			command := string(request.Payload[4:])
			path, _ := strings.CutPrefix(command, "git-upload-pack '/")
			run := exec.Command("git", "upload-pack", filepath.Join(dir, strings.Trim(path, "'")))
			run.Stdout, run.Stderr = channel, channel.Stderr()
			stdin, err := run.StdinPipe()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(stdin, channel); _ = stdin.Close() }()
			_ = run.Run()
			_, _ = channel.SendRequest("exit-status", false, []byte{0, 0, 0, byte(run.ProcessState.ExitCode())})
			_ = channel.Close()
			return
		}
	}
}

func (s *sshServer) line() string { return knownhosts.Line([]string{s.address}, s.host.PublicKey()) }

// upstream of the repository over SSH.
func (s *sshServer) upstream(b *bundle, identity []byte, known string, more ...string) source.Upstream {
	u := b.upstream(flux.GitReference{Branch: "main"})
	u.URL = "ssh://git@" + s.address + "/repo.git"
	u.Secrets = secret(append([]string{"identity", string(identity), "known_hosts", known}, more...)...)
	return u
}

func TestGitFetchesOverSSH(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	host, _, _ := newKey(t)
	user, identity, _ := newKey(t)
	s := serveSSH(t, b, host, user.PublicKey())
	b.push(map[string]string{"a.yaml": "1"})
	for name, known := range map[string]string{
		"a plain line": s.line(),
		"a hashed one": knownhosts.HashHostname(knownhosts.Normalize(s.address)) + " " + strings.SplitN(s.line(), " ", 2)[1],
		"several":      "# comment\n\nother.example.com " + strings.SplitN(s.line(), " ", 2)[1] + "\n" + s.line() + "\n",
		"a pattern":    "[127.0.0.?]:*" + strings.TrimPrefix(s.line(), strings.SplitN(s.line(), " ", 2)[0]),
	} {
		u := s.upstream(b, identity, known)
		u.Remote = name
		if got := b.fetch(u); got["a.yaml"] != "1" {
			t.Errorf("%s: tree %v, want a.yaml: 1", name, got)
		}
	}
	u := s.upstream(b, identity, s.line())
	b.fetch(u)
	commit := b.push(map[string]string{"a.yaml": "2"})
	if got := b.resolve(u); got != at("main@sha1:"+commit) {
		t.Errorf("revision %s after a push", got.Revision)
	}
	before := s.asked.Load()
	if got := b.fetch(u); got["a.yaml"] != "2" {
		t.Errorf("tree %v after a push", got)
	}
	if got := s.asked.Load() - before; got != 2 {
		t.Errorf("%d sessions for a list and a transfer, want 2", got)
	}
}

func TestAnEncryptedKeyNeedsItsPassword(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	host, _, _ := newKey(t)
	user, _, private := newKey(t)
	s := serveSSH(t, b, host, user.PublicKey())
	b.push(map[string]string{"a.yaml": "1"})
	block, err := ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte("hunter2"))
	if err != nil {
		t.Fatal(err)
	}
	identity := pem.EncodeToMemory(block)
	if got := b.fetch(s.upstream(b, identity, s.line(), "password", "hunter2")); got["a.yaml"] != "1" {
		t.Errorf("tree %v, want a.yaml: 1", got)
	}
	for password, want := range map[string]string{"": "add what it is encrypted with as key password", "wrong": "cannot be decrypted by its password"} {
		u := s.upstream(b, identity, s.line(), "password", password)
		u.Remote = "with " + password
		if err := b.try(u); source.KindOf(err) != source.KindInvalid || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestSSHFailuresSayWhatAndWhatToDo(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	host, _, _ := newKey(t)
	other, otherIdentity, _ := newKey(t)
	user, identity, _ := newKey(t)
	s := serveSSH(t, b, host, user.PublicKey())
	b.push(map[string]string{"a.yaml": "1"})
	wrong := knownhosts.Line([]string{s.address}, other.PublicKey())
	for name, tc := range map[string]struct {
		change func(u *source.Upstream)
		kind   source.Kind
		want   string
	}{
		"no Secret":          {func(u *source.Upstream) { u.Secrets = nil }, source.KindInvalid, "ssh needs a key: name a Secret with identity and known_hosts"},
		"a Secret for https": {func(u *source.Upstream) { u.Secrets = secret("username", "anna", "password", "hunter2") }, source.KindInvalid, "the Secret is one for https"},
		"no identity":        {func(u *source.Upstream) { u.Secrets = secret("known_hosts", s.line()) }, source.KindInvalid, "no key identity"},
		"no known_hosts":     {func(u *source.Upstream) { u.Secrets = secret("identity", string(identity)) }, source.KindInvalid, "no key known_hosts: the lines that ssh-keyscan 127.0.0.1 prints"},
		"an odd known_hosts": {func(u *source.Upstream) { u.Secrets = secret("identity", string(identity), "known_hosts", "\nx") }, source.KindInvalid, "line 2 of known_hosts"},
		"another host's": {func(u *source.Upstream) {
			u.Secrets = secret("identity", string(identity), "known_hosts", "x "+strings.SplitN(s.line(), " ", 2)[1])
		}, source.KindInvalid, "has no key of 127.0.0.1"},
		"an excluded host": {func(u *source.Upstream) {
			u.Secrets = secret("identity", string(identity), "known_hosts", "*,![127.0.0.1]:* "+strings.SplitN(s.line(), " ", 2)[1])
		}, source.KindInvalid, "has no key of 127.0.0.1"},
		"another key": {func(u *source.Upstream) { u.Secrets = secret("identity", string(identity), "known_hosts", wrong) }, source.KindTLS, "the server shows another key (SHA256:"},
		"a revoked key": {func(u *source.Upstream) {
			u.Secrets = secret("identity", string(identity), "known_hosts", s.line()+"\n@revoked "+s.line())
		}, source.KindTLS, "that known_hosts revokes"},
		"another user": {func(u *source.Upstream) {
			u.Secrets = secret("identity", string(otherIdentity), "known_hosts", s.line())
		}, source.KindAuth, "the server does not take the key identity"},
		"a public key": {func(u *source.Upstream) {
			u.Secrets = secret("identity", string(ssh.MarshalAuthorizedKey(user.PublicKey())), "known_hosts", s.line())
		}, source.KindInvalid, "is no private key in PEM form"},
		"no such repository": {func(u *source.Upstream) { u.URL = strings.Replace(u.URL, "/repo", "/none", 1) }, source.KindRepository, "no such repository"},
		"no such branch":     {func(u *source.Upstream) { follow(u, flux.GitReference{Branch: "none"}) }, source.KindRef, "branch none not found"},
		"nothing listens": {func(u *source.Upstream) {
			u.URL = "ssh://git@127.0.0.1:1/repo.git"
			u.Secrets = secret("identity", string(identity), "known_hosts", strings.Replace(s.line(), strings.Split(s.address, ":")[1], "1", 1))
		}, source.KindConnect, "refused"},
		"a command in the path": {func(u *source.Upstream) { u.URL = strings.Replace(u.URL, "/repo.git", "/none';touch${IFS}x;'.git", 1) }, source.KindRepository, "no such repository"},
	} {
		u := s.upstream(b, identity, s.line())
		u.Remote = name
		tc.change(&u)
		err := b.try(u)
		if source.KindOf(err) != tc.kind || !strings.Contains(fmt.Sprint(err), tc.want) || strings.Contains(fmt.Sprint(err), "hunter2") {
			t.Errorf("%s: %s error %v; want %s with %q", name, source.KindOf(err), err, tc.kind, tc.want)
		}
	}
	strict := b.newGit(gitConfig(t, source.Addresses{DenyPrivate: true}))
	u := s.upstream(b, identity, s.line())
	before := s.asked.Load()
	if _, err := strict.Resolve(t.Context(), named(u)); source.KindOf(err) != source.KindAddress || s.asked.Load() != before {
		t.Errorf("error %v, want that the address is not allowed", err)
	}
}
