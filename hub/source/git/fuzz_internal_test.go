package git

import (
	"errors"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"golang.org/x/crypto/ssh"

	"flotilla.dev/flotilla/pkg/flux"
)

func FuzzKnownHosts(f *testing.F) {
	f.Add([]byte("git.example.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl\n"), "git.example.com:22")
	f.Add([]byte("|1|a|b ssh-rsa x"), "x:1")
	f.Fuzz(func(t *testing.T, data []byte, address string) {
		known, err := readKnownHosts(data)
		var worded problem
		switch {
		case err != nil && !errors.As(err, &worded):
			t.Errorf("error %v is not worded", err)
		case err == nil:
			_ = known.algorithms(address)
		}
	})
}

func FuzzIdentity(f *testing.F) {
	f.Add([]byte("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\n-----END OPENSSH PRIVATE KEY-----\n"), []byte(""))
	f.Fuzz(func(t *testing.T, pem, password []byte) {
		var signer ssh.Signer
		signer, err := readIdentity(pem, password)
		var worded problem
		if err != nil && !errors.As(err, &worded) || err == nil && signer == nil {
			t.Errorf("error %v is not worded", err)
		}
	})
}

func FuzzModules(f *testing.F) {
	f.Add([]byte("[submodule \"x\"]\n\tpath = x\n\turl = ../y\n"), "https://git.example.com/a/b.git")
	f.Add([]byte("[submodule \"x\"]\n\tpath = ../../x\n\turl = file:///etc\n"), "ssh://git@h/a")
	f.Fuzz(func(t *testing.T, data []byte, base string) {
		if flux.URLProblem(base) != "" {
			return
		}
		for _, address := range modulesOf(data) {
			resolved, err := resolveModule(base, address)
			if err == nil && flux.URLProblem(resolved) != "" {
				t.Errorf("%q is no address of a repository", resolved)
			}
		}
	})
}

func FuzzSignedObjects(f *testing.F) {
	f.Add([]byte("tree x\ngpgsig -----BEGIN SSH SIGNATURE-----\n U1NIU0lH\n -----END SSH SIGNATURE-----\n\nx"))
	f.Add([]byte("object x\ntype commit\ntag v1\n\nx\n-----BEGIN PGP SIGNATURE-----\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if key, err := verifyCommit(&trusted{}, raw); err == nil {
			t.Errorf("a commit is signed by %q", key)
		}
		if key, err := verifyTagObject(&trusted{}, raw, "v1", plumbing.ZeroHash); err == nil {
			t.Errorf("a tag is signed by %q", key)
		}
	})
}

func FuzzVersions(f *testing.F) {
	f.Add(">=1.0.0-0", "v1.0.0+x\nv2\n1.2.3")
	f.Fuzz(func(t *testing.T, versions, tags string) {
		names, err := newest(versions, strings.Split(tags, "\n"))
		for _, name := range names {
			if err != nil || flux.RefProblem(name) != "" {
				t.Errorf("%q is chosen, error %v", name, err)
			}
		}
	})
}

func FuzzSparsePaths(f *testing.F) {
	f.Add("./a/../b", "a//b")
	f.Fuzz(func(t *testing.T, from, to string) {
		spec := flux.GitRepository{SparseCheckout: []string{from}, Include: []flux.GitInclude{{FromPath: from, ToPath: to, Repository: flux.SecretRef{Name: "x"}}}}
		for _, path := range append(spec.Directories(), spec.Include[0].Origin(), spec.Include[0].Target()) {
			if strings.HasPrefix(path, "/") || path == ".." || strings.HasPrefix(path, "../") || strings.Contains(path, "/../") || path == "" {
				t.Errorf("%q and %q lead to %q", from, to, path)
			}
		}
	})
}
