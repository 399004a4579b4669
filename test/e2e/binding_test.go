package e2e

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"flotilla.dev/flotilla/test/lab"
)

// The fleet is the test's own: a changed cluster is looked at for every App.
func TestClustersHaveTheirOwnVariablesAndPatchesOfOneBuild(t *testing.T) {
	t.Parallel()
	fleet := startFleet(t, cluster("one"), cluster("two"))
	variables := func(name, size string) string {
		return fmt.Sprintf("apiVersion: fleet.flotilla.dev/v1alpha1\nkind: Cluster\nmetadata: {name: %s, labels: {tier: prod}}\nspec: {variables: {SIZE: %s}}\n---\n", name, size)
	}
	a := newApp(t, fleet,
		"wait: true,", "wait: true, postBuild: {substituteStrategy: Always},",
		"clusters: {", "overrides: [{clusters: {names: [two]}, patches: [{target: {kind: ConfigMap}, patch: '- {op: add, path: /data/more, value: \"${SIZE}\"}'}]}]\n  clusters: {")
	a.apply(variables("one", "small") + variables("two", "large"))
	a.push(map[string]string{"deploy/app.yaml": a.configMap("app", "${CLUSTER_NAME} is ${SIZE} in ${CLUSTER_LABEL_TIER}")})
	a.fleetctl("reconcile", "ks/app", "--with-source", "--wait", "--timeout", patience.String())

	one, two := fleet.Members[0], fleet.Members[1]
	a.becomes(one, "app", "one is small in prod")
	a.becomes(two, "app", "two is large in prod")
	for m, want := range map[*lab.Member]string{one: "", two: "large"} {
		client, err := kubernetes.NewForConfig(m.REST())
		if err != nil {
			t.Fatal(err)
		}
		found, err := client.CoreV1().ConfigMaps(a.namespace).Get(t.Context(), "app", metav1.GetOptions{})
		if err != nil || found.Data["more"] != want {
			t.Errorf("cluster %s has %v, %v; want %q of the patch", m.Name(), found.Data, err, want)
		}
	}
	release := func(m *lab.Member) string { return a.get("ks/app@" + m.Name()).Status.Fleet.Release }
	if r1, r2 := release(one), release(two); r1 == "" || r1 != r2 {
		t.Errorf("the clusters run releases %q and %q, want one of one build", r1, r2)
	}
	if shown := a.fleetctl("get", "cluster", "two", "-o", "yaml"); !strings.Contains(shown, "SIZE: large") {
		t.Errorf("get cluster shows\n%s", shown)
	}
	if shown := a.fleetctl("describe", "cluster/two"); !strings.Contains(shown, "SIZE: large") {
		t.Errorf("describe cluster shows\n%s", shown)
	}

	// A changed variable reaches its cluster by itself, with the same release.
	before := release(two)
	a.apply(variables("two", "huge"))
	a.becomes(two, "app", "two is huge in prod")
	a.becomes(one, "app", "one is small in prod")
	if after := release(two); after != before {
		t.Errorf("a variable made another release, %s", after)
	}

	a.refusedWith(strings.Replace(variables("two", "x"), "SIZE", "SI-ZE", 1), 2, "spec.variables[SI-ZE]: is not the name of a variable", "apply", "-f", "-")
	a.refusedWith(strings.Replace(a.declared, "op: add", "op: nonsense", 1), 2, "spec.overrides[0].patches[0]", "apply", "-f", "-")
}

// becomes waits until a ConfigMap of the app says something in a cluster.
func (a *app) becomes(m *lab.Member, name, want string) {
	a.t.Helper()
	lab.Eventually(a.t, patience, name+" in "+m.Name(), func() error {
		value, err := a.value(m, name)
		if err == nil && value != want {
			err = fmt.Errorf("it says %q, not %q", value, want)
		}
		return err
	})
}
