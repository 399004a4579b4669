package source_test

import (
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/test/lab"
)

func startGit(t *testing.T, p protection) *subject {
	t.Helper()
	server := lab.TestGitAt(t, p.site())
	change := gitContent(t, server)
	secret := p.tls(t)
	u := gitUpstream(server.URL("app"))
	right := map[string][]byte{}
	if p.password {
		if err := server.Protect("app", "anna", rightPassword); err != nil {
			t.Fatal(err)
		}
		right = map[string][]byte{"username": []byte("anna"), "password": []byte(rightPassword)}
	}
	return &subject{
		server: server, upstream: with(u, "secretRef", secret, right), change: change,
		asked: func() int {
			return server.Count(func(v lab.Visit) bool {
				return v.Path != "/app.git/git-receive-pack" && v.Query != "service=git-receive-pack"
			})
		},
		fetched:   func() int { return server.Traffic("app").Fetches },
		anonymous: func(u source.Upstream) source.Upstream { return with(u, "secretRef", secret) },
		wrong: func(u source.Upstream) source.Upstream {
			return with(u, "secretRef", secret, map[string][]byte{"username": []byte("anna"), "password": []byte(wrongPassword)})
		},
		unfit: func(u source.Upstream) source.Upstream {
			return with(u, "secretRef", secret, map[string][]byte{"password": []byte(wrongPassword)})
		},
	}
}

func startGitSSH(t *testing.T, _ protection) *subject {
	t.Helper()
	repositories := lab.TestGit(t)
	server := lab.TestGitSSH(t, repositories, lab.GitSSHConfig{})
	change := gitContent(t, repositories)
	key := lab.TestSSHKey(t, "ed25519")
	server.Allow(key)
	secret := func(key *lab.SSHKey) map[string][]byte {
		private, err := key.Private("")
		if err != nil {
			t.Fatal(err)
		}
		return map[string][]byte{"identity": private, "known_hosts": []byte(server.KnownHosts())}
	}
	other := lab.TestSSHKey(t, "ed25519")
	return &subject{
		server: server, upstream: with(gitUpstream(server.URL("app")), "secretRef", secret(key)), change: change,
		asked:     server.Connections,
		fetched:   func() int { return server.Sessions("app") },
		anonymous: func(u source.Upstream) source.Upstream { return with(u, "secretRef") },
		wrong:     func(u source.Upstream) source.Upstream { return with(u, "secretRef", secret(other)) },
		unfit: func(u source.Upstream) source.Upstream {
			return with(u, "secretRef", secret(key), map[string][]byte{"identity": []byte(wrongPassword)})
		},
	}
}

func gitUpstream(url string) source.Upstream {
	return source.Upstream{
		Kind: "GitRepository", URL: url,
		Spec: flux.GitRepository{
			URL: url, Interval: &flux.Duration{Duration: time.Minute}, Ref: &flux.GitReference{Branch: "main"},
			SecretRef: &flux.SecretRef{Name: "credential"},
		},
	}
}

// gitContent pushes to repository app, on the server's disk, whatever stands before it.
func gitContent(t *testing.T, server *lab.GitServer) func(content string) {
	t.Helper()
	if _, err := server.NewRepo("app"); err != nil {
		t.Fatal(err)
	}
	repo, err := server.Clone(t.Context(), "app", t.TempDir())
	if err == nil {
		_, err = repo.Git(t.Context(), "remote", "set-url", "origin", server.Path("app"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return func(content string) {
		t.Helper()
		for name, text := range files(content) {
			if err := repo.Write(name, text); err != nil {
				t.Fatal(err)
			}
		}
		_, err := repo.Commit(t.Context(), "change")
		if err == nil {
			err = repo.Push(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
