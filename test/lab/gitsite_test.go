package lab_test

import (
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"flotilla.dev/flotilla/test/lab"
)

func TestGitIsServedOverTLS(t *testing.T) {
	t.Parallel()
	authority := lab.TestAuthority(t)
	certificate, key, err := authority.Issue("reader")
	if err != nil {
		t.Fatal(err)
	}
	trust := []string{"-c", "http.sslCAInfo=" + file(t, authority.PEM())}
	identify := []string{"-c", "http.sslCert=" + file(t, certificate), "-c", "http.sslKey=" + file(t, key)}
	for name, tc := range map[string]struct {
		clients  bool
		options  []string
		answered bool
	}{
		"trusted":                  {false, trust, true},
		"not trusted":              {false, nil, false},
		"client's certificate":     {true, append(trust, identify...), true},
		"no client's certificate":  {true, trust, false},
		"neither trust nor client": {true, nil, false},
	} {
		server := lab.TestGitAt(t, lab.SiteConfig{Authority: authority, ClientCertificates: tc.clients})
		if _, err := server.NewRepo("app"); err != nil {
			t.Fatal(err)
		}
		repo, err := server.Clone(t.Context(), "app", t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		hash := commit(t, repo, "file", "1")
		got, err := repo.Git(t.Context(), append(tc.options, "ls-remote", server.URL("app"), "refs/heads/main")...)
		if (err == nil) != tc.answered || (tc.answered && !strings.HasPrefix(got, hash)) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestRepoIsProtectedByAToken(t *testing.T) {
	t.Parallel()
	server, repo := gitRepo(t, "app")
	commit(t, repo, "file", "1")
	if err := server.ProtectByToken("app", "a.token"); err != nil {
		t.Fatal(err)
	}
	for header, answered := range map[string]bool{"Authorization: Bearer a.token": true, "Authorization: Bearer b": false, "X-Other: x": false} {
		if _, err := repo.Git(t.Context(), "-c", "http.extraHeader="+header, "ls-remote", server.URL("app")); (err == nil) != answered {
			t.Errorf("%s: %v", header, err)
		}
	}
}

func TestSubmoduleIsACommitOfAnotherRepository(t *testing.T) {
	t.Parallel()
	server, outer := gitRepo(t, "outer")
	url, err := server.NewRepo("inner")
	if err != nil {
		t.Fatal(err)
	}
	inner, err := server.Clone(t.Context(), "inner", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	hash := commit(t, inner, "inner.yaml", "inner")
	if err := outer.AddSubmodule(t.Context(), "modules/inner", url, hash); err != nil {
		t.Fatal(err)
	}
	commit(t, outer, "outer.yaml", "outer")

	dir := t.TempDir()
	run(t, outer, "clone", "--quiet", "--recurse-submodules", server.URL("outer"), dir)
	if content, err := os.ReadFile(filepath.Join(dir, "modules/inner/inner.yaml")); string(content) != "inner" {
		t.Errorf("%q, %v", content, err)
	}
}

func TestCommitsAndTagsAreSigned(t *testing.T) {
	t.Parallel()
	_, repo := gitRepo(t, "app")
	key := lab.TestPGPKey(t)
	ring, err := key.Public()
	if err != nil {
		t.Fatal(err)
	}
	hash := signed(t, repo, key)
	var head object.Commit
	if err := head.Decode(encoded(t, repo, plumbing.CommitObject, hash)); err != nil {
		t.Fatal(err)
	}
	if _, err := head.Verify(ring); err != nil {
		t.Errorf("commit: %v", err)
	}
	tag := signedTag(t, repo, "v1", key)
	if _, err := tag.Verify(ring); err != nil {
		t.Errorf("tag: %v", err)
	}
	if unsigned := signedTag(t, repo, "v2", nil); unsigned.PGPSignature != "" {
		t.Error("a tag without a signer is signed")
	}
	if err := repo.Push(t.Context()); err != nil {
		t.Fatalf("the server does not take them: %v", err)
	}
}

func TestSSHSignaturesAreThoseOfOpenSSH(t *testing.T) {
	t.Parallel()
	for _, kind := range lab.SSHKinds {
		key := lab.TestSSHKey(t, kind)
		signature, err := key.Sign([]byte("message"))
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode([]byte(signature))
		var blob struct {
			Version                                              uint32
			PublicKey, Namespace, Reserved, Algorithm, Signature string
		}
		if block == nil || !strings.HasPrefix(string(block.Bytes), "SSHSIG") || ssh.Unmarshal(block.Bytes[6:], &blob) != nil {
			t.Fatalf("%s: %s", kind, signature)
		}
		public, _, _, _, err := ssh.ParseAuthorizedKey([]byte(key.Public()))
		if err != nil {
			t.Fatal(err)
		}
		if blob.Version != 1 || blob.Namespace != "git" || blob.PublicKey != string(public.Marshal()) {
			t.Errorf("%s: %+v", kind, blob)
		}
		_, repo := gitRepo(t, "app")
		if hash := signed(t, repo, key); !strings.Contains(run(t, repo, "cat-file", "commit", hash), "gpgsig -----BEGIN SSH SIGNATURE-----") {
			t.Errorf("%s: the commit is not signed", kind)
		}
	}
}

func TestPrivateKeyIsUnderItsPassphrase(t *testing.T) {
	t.Parallel()
	private, err := lab.TestSSHKey(t, "ed25519").Private("a phrase")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ssh.ParsePrivateKeyWithPassphrase(private, []byte("a phrase")); err != nil {
		t.Error(err)
	}
	if _, err := ssh.ParsePrivateKey(private); err == nil {
		t.Error("it is read without the passphrase")
	}
}

func TestGitIsServedOverSSH(t *testing.T) {
	t.Parallel()
	for _, kind := range lab.SSHKinds {
		server, repo := gitRepo(t, "app")
		hash := commit(t, repo, "file", "1")
		over := lab.TestGitSSH(t, server, lab.GitSSHConfig{HostKeys: []string{kind}})
		key := lab.TestSSHKey(t, kind)
		over.Allow(key)
		if got, err := sshList(t, over, key, over.KnownHosts()); !strings.Contains(got, hash) {
			t.Errorf("%s: %q, %v; want %s", kind, got, err, hash)
		}
		if _, err := sshList(t, over, lab.TestSSHKey(t, kind), over.KnownHosts()); err == nil || over.Denied() == 0 {
			t.Errorf("%s: another key may read", kind)
		}
		other := strings.Fields(over.KnownHosts())[0] + " " + lab.TestSSHKey(t, kind).Public() + "\n"
		if _, err := sshList(t, over, key, other); err == nil {
			t.Errorf("%s: another host key will do", kind)
		}
		over.Forbid(key)
		if _, err := sshList(t, over, key, over.KnownHosts()); err == nil {
			t.Errorf("%s: a key that was forbidden may read", kind)
		}
		if sessions := over.Sessions("app"); sessions != 1 {
			t.Errorf("%d sessions, want 1", sessions)
		}
	}
}

func TestGitOverSSHFailsAndRecovers(t *testing.T) {
	t.Parallel()
	server, repo := gitRepo(t, "app")
	hash := commit(t, repo, "file", "1")
	over := lab.TestGitSSH(t, server, lab.GitSSHConfig{})
	key := lab.TestSSHKey(t, "ed25519")
	over.Allow(key)
	for name, fault := range map[string]lab.Fault{"reset": lab.Reset, "half": lab.Half, "garbage": lab.Garbage} {
		over.Set(fault)
		if _, err := sshList(t, over, key, over.KnownHosts()); err == nil || over.Struck() == 0 {
			t.Errorf("%s: it was cloned", name)
		}
		over.Clear()
		if got, err := sshList(t, over, key, over.KnownHosts()); !strings.Contains(got, hash) {
			t.Errorf("after %s: %s, %v", name, got, err)
		}
	}
	over.Down()
	if _, err := sshList(t, over, key, over.KnownHosts()); err == nil {
		t.Error("it answers while down")
	}
	if err := over.Up(); err != nil {
		t.Fatal(err)
	}
	if got, err := sshList(t, over, key, over.KnownHosts()); !strings.Contains(got, hash) {
		t.Errorf("after it came back: %s, %v", got, err)
	}
}

func signed(t *testing.T, repo *lab.Repo, signer lab.Signer) (hash string) {
	t.Helper()
	if err := repo.Write("file", "signed"); err != nil {
		t.Fatal(err)
	}
	hash, err := repo.CommitSigned(t.Context(), "Signed", signer)
	if err != nil {
		t.Fatal(err)
	}
	if status := run(t, repo, "status", "--porcelain"); status != "" || run(t, repo, "rev-parse", "HEAD") != hash {
		t.Errorf("the working copy is not at its commit: %s", status)
	}
	return hash
}

func signedTag(t *testing.T, repo *lab.Repo, name string, signer lab.Signer) *object.Tag {
	t.Helper()
	hash, err := repo.TagSigned(t.Context(), name, "Release "+name, signer)
	if err != nil {
		t.Fatal(err)
	}
	var tag object.Tag
	if err := tag.Decode(encoded(t, repo, plumbing.TagObject, hash)); err != nil {
		t.Fatal(err)
	}
	return &tag
}

func encoded(t *testing.T, repo *lab.Repo, kind plumbing.ObjectType, hash string) plumbing.EncodedObject {
	t.Helper()
	var out plumbing.MemoryObject
	out.SetType(kind)
	_, _ = out.Write([]byte(run(t, repo, "cat-file", kind.String(), hash) + "\n"))
	if out.Hash().String() != hash {
		t.Fatalf("object %s reads as %s", hash, out.Hash())
	}
	return &out
}

// sshList connects, asks for the repository's refs and leaves.
func sshList(t *testing.T, over *lab.GitSSH, key *lab.SSHKey, known string) (refs string, err error) {
	t.Helper()
	private, err := key.Private("")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	hosts, err := knownhosts.New(file(t, []byte(known)))
	if err != nil {
		t.Fatal(err)
	}
	client, err := ssh.Dial("tcp", over.Host(), &ssh.ClientConfig{
		User: "git", Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: hosts,
	})
	if err != nil {
		return "", err
	}
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		return "", err
	}
	session.Stdin = strings.NewReader("0000") // wants nothing
	output, err := session.Output("git-upload-pack '/app.git'")
	return string(output), err
}

// file holds content for a program that reads files.
func file(t *testing.T, content []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
