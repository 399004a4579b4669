package e2e

import (
	"strings"
	"testing"

	"flotilla.dev/flotilla/test/lab"
)

func TestCommitReachesEveryCluster(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	a := newApp(t, fleet)
	a.fleetctl("wait", "ks/app", "--for=ready", "--timeout", patience.String())

	commit := a.push(map[string]string{"deploy/app.yaml": a.configMap("app", "second")})
	a.fleetctl("reconcile", "ks/app", "--with-source", "--wait", "--timeout", patience.String())

	for _, m := range fleet.Members {
		if value, err := a.value(m, "app"); value != "second" || err != nil {
			t.Errorf("cluster %s has %q, %v; want what the commit says", m.Name(), value, err)
		}
		if got, want := a.ready(m), "main@sha1:"+commit; got != want {
			t.Errorf("ks/app@%s is ready at %q, want %q", m.Name(), got, want)
		}
	}
}

// ready is the revision at which fleetctl shows the app as ready in a cluster; empty when it does not.
func (a *app) ready(m *lab.Member) (revision string) {
	a.t.Helper()
	shown := a.get("ks/app@" + m.Name())
	if !strings.HasPrefix(shown.condition("Ready"), "True") {
		return ""
	}
	return shown.Status.LastAppliedRevision
}
