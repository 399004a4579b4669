package e2e

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/test/lab"
)

// A release goes its whole way on two clusters, with a chart of either kind of source. The fleet is the test's own: it
// counts the bytes that its hub sends.
func TestReleasesGoTheirWholeWayInEveryCluster(t *testing.T) {
	t.Parallel()
	fleet := startFleet(t, cluster("one"), cluster("two"))
	a, server, publish := newReleases(t, fleet)
	guests := make([]string, 20-len(fleet.Members))
	for i := range guests {
		guests[i] = fmt.Sprintf("guest-%02d", i+1)
	}
	const given = "Never-To-Be-Read-4711"
	for _, m := range fleet.Members {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "given"}, StringData: map[string]string{"password": given}}
		if _, err := a.client(m).CoreV1().Secrets(a.namespace).Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	charts := map[string]string{"repo": ofRepository, "oci": ofArtifact}
	// stand waits until both stand everywhere.
	stand := func(a *app, condition, value, chart string) {
		a.t.Helper()
		for _, m := range fleet.Members {
			for name := range charts {
				a.stands(m, name, condition, value, chart)
			}
		}
	}
	const ready, rolledBack = "Ready True", "Remediated True RollbackSucceeded"
	one := fleet.Members[0]

	t.Run("a chart for twenty clusters is fetched and sent once", func(t *testing.T) { a.in(t).onMany(server, invite(t, fleet, guests...)) })
	t.Run("an install", func(t *testing.T) {
		a := a.in(t)
		sent := a.count(fleet.Hub, "flotilla_hub_pack_bytes_total")
		for name, chart := range charts {
			a.apply(a.released(name, chart, "value: first"))
		}
		stand(a, ready, "first", "1.0.0")
		// What the next step counts is known to be counted.
		if got := a.metric(fleet.Hub, sent.name) - sent.from; got < noiseSize*float64(len(fleet.Members)) {
			t.Errorf("%v bytes were sent: less than the chart to every cluster", got)
		}
		for name := range charts {
			a.holds(one, name, "password", given)
		}
	})
	t.Run("other values, without the chart again", func(t *testing.T) {
		a := a.in(t)
		sent := a.count(fleet.Hub, "flotilla_hub_pack_bytes_total")
		for name, chart := range charts {
			a.apply(a.released(name, chart, "value: second"))
		}
		stand(a, ready, "second", "1.0.0")
		if got := a.metric(fleet.Hub, sent.name) - sent.from; got == 0 || got > noiseSize/2 {
			t.Errorf("%v bytes were sent for other values, of a chart of more than %d", got, noiseSize)
		}
	})
	t.Run("another version of the chart", func(t *testing.T) {
		a := a.in(t)
		publish("1.1.0")
		for name := range charts {
			a.fleetctl("reconcile", "hr/"+name, "--with-source", "--wait", "--timeout", patience.String())
		}
		stand(a, ready, "second", "1.1.0")
	})
	t.Run("drift, which is put right without an upgrade", func(t *testing.T) {
		a := a.in(t)
		corrected := a.count(one.Spoke, "flotilla_spoke_helm_drift_corrections_total")
		upgraded := a.count(one.Spoke, "flotilla_spoke_helm_actions_total")
		a.patch(one, "repo", "kubectl-edit", `{"data":{"value":"edited"}}`)
		a.becomes(one, "repo", "second")
		a.rose(corrected, 1)
		a.rose(upgraded, 0)
	})
	t.Run("upgrades that break are rolled back", func(t *testing.T) {
		a := a.in(t)
		a.apply(strings.Replace(a.released("repo", ofRepository, "value: third, fail: image"), "upgrade: {timeout: 1m", "upgrade: {timeout: 4s", 1))
		a.apply(a.released("oci", ofArtifact, "value: third, fail: hook"))
		stand(a, rolledBack, "second", "1.1.0")
		for name := range charts {
			lines := strings.Split(a.fleetctl("history", "hr/"+name+"@one"), "\n")
			says(t, "the newest version of "+name, lines[1], "5 ", "deployed", "web-1.1.0", "rollback", "Rollback to 3")
			says(t, "the one before", lines[2], "4 ", "failed", "web-1.1.0", "upgrade")
			diff, _ := a.exits(1, "diff", "hr/"+name+"@one")
			says(t, "diff of "+name, diff, "► values changed", "+fail: ", "-value: '*** (before)'")
			says(t, "get of "+name, a.fleetctl("get", "hr/"+name), "False")
		}
		if got := a.get("hr/repo").Status.Fleet; got.Total != 2 || got.Failed != 2 {
			t.Errorf("hr/repo counts %+v", got)
		}
	})
	t.Run("what is read of it has no value of a Secret", func(t *testing.T) {
		a := a.in(t)
		values := a.fleetctl("debug", "hr/repo@one", "--show-values")
		says(t, "debug", values, "value: third", "password: '*** (Secret "+a.namespace+"/given key password)'")
		texts := a.texts([]string{"get", "hr/repo@one", "-o", "yaml"}, []string{"describe", "hr/repo@one"}, []string{"describe", "hr/repo"},
			[]string{"history", "hr/repo@one", "-o", "yaml"}, []string{"debug", "hr/repo@one", "--show-status"}, []string{"tree", "hr/repo@one"})
		texts["debug --show-values"] = values
		texts["diff"], _ = a.exits(1, "diff", "hr/repo@one", "-o", "yaml")
		a.hides(texts, given)
	})
	t.Run("a repair", func(t *testing.T) {
		a := a.in(t)
		for name, chart := range charts {
			a.apply(a.released(name, chart, "value: fourth"))
		}
		stand(a, ready, "fourth", "1.1.0")
		for name := range charts {
			a.exits(0, "diff", "hr/"+name+"@one")
			says(t, "get of "+name, a.fleetctl("get", "hr/"+name), "True")
		}
	})
	t.Run("what a person asks for by hand", func(t *testing.T) { a.in(t).byHand(one) })
	t.Run("a deletion uninstalls", func(t *testing.T) {
		a := a.in(t)
		for name := range charts {
			a.fleetctl("delete", "hr/"+name, "--wait", "--timeout", patience.String(), "--confirm", fmt.Sprint(len(fleet.Members)))
		}
		for _, m := range fleet.Members {
			a.nothingOf(m, charts)
		}
	})
}

// nothingOf fails the test where a cluster has anything of the releases yet.
func (a *app) nothingOf(m *lab.Member, releases map[string]string) {
	a.t.Helper()
	if left := a.names(m); len(left) > 0 {
		a.t.Errorf("%s still has ConfigMaps %v", m.Name(), left)
	}
	for name := range releases {
		versions, err := m.HelmVersions(a.t.Context(), a.namespace, name)
		if err != nil || len(versions) > 0 {
			a.t.Errorf("%s still has %d versions of %s, error %v", m.Name(), len(versions), name, err)
		}
	}
}
