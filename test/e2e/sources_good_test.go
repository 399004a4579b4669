package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"flotilla.dev/flotilla/test/lab"
)

// goodSources are one of each kind that does as it should.
type goodSources struct {
	a        *app
	subjects []*subject
	charts   *charts
	versions int
}

func newGoodSources(t *testing.T, fleet *lab.Fleet) *goodSources {
	t.Helper()
	a := newSubjects(t, fleet)
	authority := lab.TestAuthority(t)
	registry := lab.TestRegistry(t, lab.RegistryConfig{SiteConfig: lab.SiteConfig{Authority: authority}, Username: user, Password: password})
	return &goodSources{a: a, charts: newCharts(a), subjects: []*subject{
		overSSH(a, fleet.Git, lab.TestGitSSH(t, fleet.Git, lab.GitSSHConfig{})), ofRegistry(a, registry, authority),
		ofBucket(a, lab.TestS3(t, lab.S3Config{})), pushed(a),
	}}
}

// follow changes what upstream has of all of them, and waits until they have it.
func (g *goodSources) follow(value string) {
	g.a.t.Helper()
	before, err := revisions(g.a)
	if err != nil {
		g.a.t.Fatal(err)
	}
	for _, s := range g.subjects {
		s.change(value)
		if s.kind != "ExternalArtifact" {
			g.a.fleetctl("reconcile", s.ref)
		}
	}
	g.versions++
	g.charts.add(fmt.Sprintf("1.%d.0", g.versions))
	g.a.fleetctl("reconcile", "helmrepo/charts")
	lab.Eventually(g.a.t, patience, "every good source follows", func() error {
		now, err := revisions(g.a)
		if err != nil {
			return err
		}
		var behind []error
		for name, revision := range now {
			if revision == before[name] || !strings.HasSuffix(revision, " True") {
				behind = append(behind, fmt.Errorf("%s is at %s", name, revision))
			}
		}
		return errors.Join(behind...)
	})
}

// revisions are what is shown of the app's sources: what each is at, and whether it is ready.
func revisions(a *app) (map[string]string, error) {
	a.t.Helper()
	out := a.fleet.Fleetctl(a.t.Context(), "get", "sources", "--no-headers", "-n", a.namespace)
	if err := out.Err(); err != nil {
		return nil, err
	}
	all := map[string]string{}
	for line := range strings.Lines(out.Stdout) {
		if fields := strings.Fields(line); len(fields) > 3 {
			all[fields[0]] = fields[1] + " " + fields[3]
		}
	}
	if len(all) != 6 {
		return nil, fmt.Errorf("%d sources are shown:\n%s", len(all), out.Stdout)
	}
	return all, nil
}
