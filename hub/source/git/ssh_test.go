package git_test

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh/knownhosts"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/test/lab"
)

// sshServer serves a bundle's repository over SSH to one user.
type sshServer struct {
	*lab.GitSSH
	identity string
}

func serveSSH(t *testing.T, b *bundle) *sshServer {
	t.Helper()
	s := &sshServer{GitSSH: lab.TestGitSSH(t, b.lab, lab.GitSSHConfig{})}
	user := lab.TestSSHKey(t, "ed25519")
	s.Allow(user)
	s.identity = private(t, user, "")
	return s
}

func private(t *testing.T, key *lab.SSHKey, passphrase string) string {
	t.Helper()
	pem, err := key.Private(passphrase)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem)
}

// line is the one of known_hosts, key what it says of the server's.
func (s *sshServer) line() string { return strings.TrimSpace(s.KnownHosts()) }

func (s *sshServer) key() string { return strings.SplitN(s.line(), " ", 2)[1] }

// upstream of the repository over SSH.
func (s *sshServer) upstream(b *bundle, identity, known string, more ...string) source.Upstream {
	u := b.upstream(flux.GitReference{Branch: "main"})
	u.URL = s.URL("repo")
	u.Secrets = secret(append([]string{"identity", identity, "known_hosts", known}, more...)...)
	return u
}

func TestGitFetchesOverSSH(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	s := serveSSH(t, b)
	b.push(map[string]string{"a.yaml": "1"})
	for name, known := range map[string]string{
		"a plain line": s.line(),
		"a hashed one": knownhosts.HashHostname(knownhosts.Normalize(s.Host())) + " " + s.key(),
		"several":      "# comment\n\nother.example.com " + s.key() + "\n" + s.line() + "\n",
		"a pattern":    "[127.0.0.?]:*" + " " + s.key(),
	} {
		u := s.upstream(b, s.identity, known)
		u.Remote = name
		if got := b.fetch(u); got["a.yaml"] != "1" {
			t.Errorf("%s: tree %v, want a.yaml: 1", name, got)
		}
	}
	u := s.upstream(b, s.identity, s.line())
	b.fetch(u)
	commit := b.push(map[string]string{"a.yaml": "2"})
	if got := b.resolve(u); got != at("main@sha1:"+commit) {
		t.Errorf("revision %s after a push", got.Revision)
	}
	before := s.Sessions("repo")
	if got := b.fetch(u); got["a.yaml"] != "2" {
		t.Errorf("tree %v after a push", got)
	}
	if got := s.Sessions("repo") - before; got != 2 {
		t.Errorf("%d sessions for a list and a transfer, want 2", got)
	}
}

func TestAnEncryptedKeyNeedsItsPassword(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	s := serveSSH(t, b)
	user := lab.TestSSHKey(t, "ed25519")
	s.Allow(user)
	b.push(map[string]string{"a.yaml": "1"})
	identity := private(t, user, "hunter2")
	if got := b.fetch(s.upstream(b, identity, s.line(), "password", "hunter2")); got["a.yaml"] != "1" {
		t.Errorf("tree %v, want a.yaml: 1", got)
	}
	for password, want := range map[string]string{"": "add what it is encrypted with as key password", "wrong": "cannot be decrypted by its password"} {
		u := s.upstream(b, identity, s.line(), "password", password)
		u.Remote = "with " + password
		if err := b.try(u); source.KindOf(err) != source.KindAuth || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestSSHFailuresSayWhatAndWhatToDo(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	s, other := serveSSH(t, b), lab.TestSSHKey(t, "ed25519")
	b.push(map[string]string{"a.yaml": "1"})
	wrong := strings.Replace(s.line(), s.key(), other.Public(), 1)
	for name, tc := range map[string]struct {
		change func(u *source.Upstream)
		kind   source.Kind
		want   string
	}{
		"no Secret":          {func(u *source.Upstream) { u.Secrets = nil }, source.KindAuth, "ssh needs a key: name a Secret with identity and known_hosts"},
		"a Secret for https": {func(u *source.Upstream) { u.Secrets = secret("username", "anna", "password", "hunter2") }, source.KindAuth, "the Secret is one for https"},
		"no identity":        {func(u *source.Upstream) { u.Secrets = secret("known_hosts", s.line()) }, source.KindAuth, "no key identity"},
		"no known_hosts":     {func(u *source.Upstream) { u.Secrets = secret("identity", s.identity) }, source.KindAuth, "no key known_hosts: the lines that ssh-keyscan 127.0.0.1 prints"},
		"an odd known_hosts": {func(u *source.Upstream) { u.Secrets = secret("identity", s.identity, "known_hosts", "\nx") }, source.KindAuth, "line 2 of known_hosts"},
		"another host's": {func(u *source.Upstream) {
			u.Secrets = secret("identity", s.identity, "known_hosts", "x "+s.key())
		}, source.KindAuth, "has no key of 127.0.0.1"},
		"an excluded host": {func(u *source.Upstream) {
			u.Secrets = secret("identity", s.identity, "known_hosts", "*,![127.0.0.1]:* "+s.key())
		}, source.KindAuth, "has no key of 127.0.0.1"},
		"another key": {func(u *source.Upstream) { u.Secrets = secret("identity", s.identity, "known_hosts", wrong) }, source.KindTLS, "the server shows another key (SHA256:"},
		"a revoked key": {func(u *source.Upstream) {
			u.Secrets = secret("identity", s.identity, "known_hosts", s.line()+"\n@revoked "+s.line())
		}, source.KindTLS, "that known_hosts revokes"},
		"another user": {func(u *source.Upstream) {
			u.Secrets = secret("identity", private(t, other, ""), "known_hosts", s.line())
		}, source.KindAuth, "the server does not take the key identity"},
		"a public key": {func(u *source.Upstream) {
			u.Secrets = secret("identity", other.Public(), "known_hosts", s.line())
		}, source.KindAuth, "is no private key in PEM form"},
		"no such repository": {func(u *source.Upstream) { u.URL = strings.Replace(u.URL, "/repo", "/none", 1) }, source.KindRepository, "no such repository"},
		"no such branch":     {func(u *source.Upstream) { follow(u, flux.GitReference{Branch: "none"}) }, source.KindRef, "branch none not found"},
		"nothing listens": {func(u *source.Upstream) {
			u.URL = "ssh://git@127.0.0.1:1/repo.git"
			u.Secrets = secret("identity", s.identity, "known_hosts", strings.Replace(s.line(), strings.Split(s.Host(), ":")[1], "1", 1))
		}, source.KindConnect, "refused"},
		"a command in the path": {func(u *source.Upstream) { u.URL = strings.Replace(u.URL, "/repo.git", "/none';touch${IFS}x;'.git", 1) }, source.KindRepository, "no such repository"},
	} {
		u := s.upstream(b, s.identity, s.line())
		u.Remote = name
		tc.change(&u)
		err := b.try(u)
		if source.KindOf(err) != tc.kind || !strings.Contains(fmt.Sprint(err), tc.want) || strings.Contains(fmt.Sprint(err), "hunter2") {
			t.Errorf("%s: %s error %v; want %s with %q", name, source.KindOf(err), err, tc.kind, tc.want)
		}
	}
	strict := b.newGit(gitConfig(t, source.Addresses{DenyPrivate: true}))
	u := s.upstream(b, s.identity, s.line())
	before := s.Sessions("repo")
	if _, err := strict.Resolve(t.Context(), named(u)); source.KindOf(err) != source.KindAddress || s.Sessions("repo") != before {
		t.Errorf("error %v, want that the address is not allowed", err)
	}
}
