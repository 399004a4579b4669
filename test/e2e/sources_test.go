package e2e

import (
	"strings"
	"testing"

	"flotilla.dev/flotilla/test/lab"
)

func TestEveryKindOfSourceReachesTheClusterAndSoDoesAChange(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	m := fleet.Member("prod-1")
	a := newSubjects(t, fleet, m)
	authority := lab.TestAuthority(t)
	registry := lab.TestRegistry(t, lab.RegistryConfig{SiteConfig: lab.SiteConfig{Authority: authority}, Username: user, Password: password})
	subjects := []*subject{
		overSSH(a, fleet.Git, lab.TestGitSSH(t, fleet.Git, lab.GitSSHConfig{})),
		ofRegistry(a, registry, authority),
		ofBucket(a, lab.TestS3(t, lab.S3Config{})),
		pushed(a),
	}
	for _, s := range subjects {
		s.place(m)
	}
	charts := newCharts(a)
	for _, s := range subjects {
		a.data(m, s.name, map[string]string{"value": "first"})
		a.says(s.ref, "Ready", "True Succeeded stored artifact for revision")
		s.change("second")
		if s.kind != "ExternalArtifact" { // of which every push is looked at
			a.fleetctl("reconcile", "ks/"+s.name, "--with-source", "--wait", "--timeout", patience.String())
		}
		a.data(m, s.name, map[string]string{"value": "second"})
		if events := a.fleetctl("events", "--for", s.ref); strings.Count(events, "NewArtifact") != 2 {
			t.Errorf("the events of %s do not tell of two artifacts:\n%s", s.ref, events)
		}
	}
	charts.add("1.1.0")
	a.fleetctl("reconcile", "helmrepo/charts", "--wait", "--timeout", patience.String())
	a.says("helmchart/chart", "Ready", "True ChartPullSucceeded pulled 'app' chart with version '1.1.0'")

	table := a.fleetctl("get", "sources")
	for object, revision := range map[string]string{
		"gitrepository.source.toolkit.fluxcd.io/git":       "main@sha1:" + a.head()[:8],
		"ocirepository.source.toolkit.fluxcd.io/oci":       "latest@sha256:",
		"bucket.source.toolkit.fluxcd.io/bucket":           "sha256:",
		"externalartifact.source.toolkit.fluxcd.io/pushed": "second",
		"helmrepository.source.toolkit.fluxcd.io/charts":   "sha256:",
		"helmchart.source.toolkit.fluxcd.io/chart":         "1.1.0",
	} {
		if got := row(table, object); len(got) < 5 || !strings.HasPrefix(got[1], revision) || got[2] != "False" || got[3] != "True" ||
			!strings.HasPrefix(strings.Join(got[4:], " "), "stored artifact for revision '"+revision) && !strings.HasPrefix(strings.Join(got[4:], " "), "pulled 'app' chart with version '"+revision) {
			t.Errorf("the row of %s is %q, want it at revision %s", object, got, revision)
		}
	}
	if heads := strings.Count(table, "NAME "); heads != 6 || strings.Count(table, "READY") != 6 {
		t.Errorf("six kinds are under %d headers:\n%s", heads, table)
	}
	if all := a.fleetctl("get", "sources", "all"); all != table {
		t.Errorf("get sources all prints\n%s\nand get sources\n%s", all, table)
	}
}

// row are the fields of the line that begins with a name.
func row(table, name string) []string {
	for line := range strings.Lines(table) {
		if fields := strings.Fields(line); len(fields) > 0 && fields[0] == name {
			return fields
		}
	}
	return nil
}
