package e2e

import (
	"strings"
	"testing"

	"flotilla.dev/flotilla/test/lab"
)

// A source that loses its branch, its credential or its server keeps in the cluster what it had, and says since when that
// is stale.
func TestSourceThatIsLostStaysInTheClusterAndSaysSinceWhen(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	m := fleet.Member("prod-2")
	a := newSubjects(t, fleet, m)
	authority := lab.TestAuthority(t)
	registry := lab.TestRegistry(t, lab.RegistryConfig{SiteConfig: lab.SiteConfig{Authority: authority}, Username: user, Password: password})
	bucket := lab.TestS3(t, lab.S3Config{})
	for _, test := range []struct {
		name, reason, words string
		subject             *subject
		lose, cure          func(*app) error
	}{
		{"its branch", "GitOperationFailed", "main", overSSH(a, fleet.Git, lab.TestGitSSH(t, fleet.Git, lab.GitSSHConfig{})),
			func(a *app) error {
				_, err := a.repo.Git(t.Context(), "--git-dir", fleet.Git.Path(a.namespace), "update-ref", "-d", "refs/heads/main")
				return err
			},
			func(a *app) error {
				_, err := a.repo.Git(t.Context(), "push", "--quiet", "origin", "main")
				return err
			}},
		{"its credential", "AuthenticationFailed", "the registry refuses the credential", ofRegistry(a, registry, authority),
			func(*app) error { registry.Protect(user, "another"); return nil },
			func(*app) error { registry.Protect(user, password); return nil }},
		{"its server", "BucketOperationFailed", "the connection was refused", ofBucket(a, bucket),
			func(*app) error { bucket.Down(); return nil },
			func(*app) error { return bucket.Up() }},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, a := test.subject, a.in(t)
			s.a = a
			s.place(m)
			a.data(m, s.name, map[string]string{"value": "first"})
			a.fleetctl("wait", "ks/"+s.name, "--for=ready", "--timeout", patience.String())
			revision, written := a.get("ks/"+s.name).Status.LastAppliedRevision, a.objects(m)[s.name]

			if err := test.lose(a); err != nil {
				t.Fatal(err)
			}
			a.fleetctl("reconcile", s.ref)
			a.says(s.ref, "FetchFailed", "True "+test.reason)
			lost := a.get(s.ref)
			for _, words := range []string{test.words, "; what is deployed is " + revision + ", fetched ", ", stale since "} {
				if got := lost.condition("Ready"); !strings.HasPrefix(got, "False "+test.reason) || !strings.Contains(got, words) {
					t.Errorf("%s is shown as %q, want it to say %q", s.ref, got, words)
				}
			}
			says(t, "get sources", a.fleetctl("get", "sources"), "stale since")
			if got := lost.condition("ArtifactInStorage"); !strings.HasPrefix(got, "True") {
				t.Errorf("its artifact is shown as %q", got)
			}
			// Drift is undone by a pass over the App, which the source plays no part in any more.
			a.patch(m, s.name, "kubectl-edit", `{"metadata":{"labels":{"seen":"yes"}},"data":{"value":"edited"}}`)
			a.data(m, s.name, map[string]string{"value": "first"})
			if now := a.objects(m)[s.name]; now == written {
				t.Error("the edit was not seen")
			}
			if got := a.get("ks/" + s.name); !strings.HasPrefix(got.condition("Ready"), "True") || got.Status.LastAppliedRevision != revision {
				t.Errorf("the App is shown as %s at %s", got.condition("Ready"), got.Status.LastAppliedRevision)
			}

			if err := test.cure(a); err != nil {
				t.Fatal(err)
			}
			a.fleetctl("reconcile", s.ref)
			a.says(s.ref, "Ready", "True Succeeded")
			if got := a.get(s.ref); got.condition("FetchFailed") != "" {
				t.Errorf("it goes on saying %q", got.condition("FetchFailed"))
			}
			s.change("second")
			a.fleetctl("reconcile", "ks/"+s.name, "--with-source", "--wait", "--timeout", patience.String())
			a.data(m, s.name, map[string]string{"value": "second"})
		})
	}
}
