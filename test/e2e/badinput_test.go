package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"flotilla.dev/flotilla/test/lab"
)

// What is wrong is named by get, by describe and in the log; the last good state stays, and other Apps go on.
func TestBadCommitIsNamedAndTheLastGoodStateStays(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	a, other := newApp(t, fleet), newApp(t, fleet)
	a.settle()
	m := fleet.Members[0]
	for _, test := range []struct {
		name, file, content, words string
		log                        func() (string, error)
	}{
		{"invalid manifest", "deploy/bad.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad, namespace: " + a.namespace + "}\ndata: {n: 1}\n", "ConfigMap/" + a.namespace + "/bad", m.Spoke.Log},
		{"unknown kind", "deploy/bad.yaml", "apiVersion: example.com/v1\nkind: Nothing\nmetadata: {name: bad, namespace: " + a.namespace + "}\n", "Nothing.example.com/" + a.namespace + "/bad", m.Spoke.Log},
		{"broken YAML", "deploy/bad.yaml", "a: [\n", "deploy/bad.yaml", fleet.Hub.Log},
	} {
		a.push(map[string]string{test.file: test.content, "deploy/app.yaml": a.configMap("app", test.name)})
		a.lookNow()
		a.says("ks/app", "Ready", test.words)
		if described := a.fleetctl("describe", "ks/app"); !strings.Contains(described, test.words) {
			t.Errorf("%s: describe does not name %s:\n%s", test.name, test.words, described)
		}
		lab.Eventually(t, patience, test.name+" is named in the log", func() error {
			log, err := test.log()
			if err == nil && !strings.Contains(log, test.words) {
				err = errors.New("the log does not name " + test.words)
			}
			return err
		})
		a.data(m, "app", map[string]string{"value": "first"})
		other.push(map[string]string{"deploy/app.yaml": other.configMap("app", test.name)})
		other.settle()
		other.data(m, "app", map[string]string{"value": test.name})
	}
	if err := a.repo.Remove("deploy/bad.yaml"); err != nil {
		t.Fatal(err)
	}
	a.push(nil)
	a.settle()
}

func TestGitServerThatFailsIsNamedAndWhatIsThereStays(t *testing.T) {
	t.Parallel()
	fleet := startFleet(t, cluster("prod-1"))
	a := newApp(t, fleet)
	a.settle()
	if err := fleet.Git.Protect(a.namespace, "user", "right"); err != nil {
		t.Fatal(err)
	}
	secret := func(password string) {
		t.Helper()
		a.fleetctlWith(fmt.Sprintf(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"git","namespace":%q},"stringData":{"username":"user","password":%q}}`, a.namespace, password), "apply", "-f", "-")
	}
	secret("wrong")
	a.fleetctlWith(fmt.Sprintf(`{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":"GitRepository","metadata":{"name":"app","namespace":%q},
		"spec":{"interval":"1h","url":%q,"ref":{"branch":"main"},"secretRef":{"name":"git"}}}`, a.namespace, a.url), "apply", "-f", "-")
	a.says("gitrepo/app", "Ready", "False AuthenticationFailed")
	a.data(fleet.Members[0], "app", map[string]string{"value": "first"})
	secret("right")
	a.says("gitrepo/app", "Ready", "True")
	fleet.Git.Down()
	a.lookNow()
	a.says("gitrepo/app", "Ready", "False GitOperationFailed")
	a.data(fleet.Members[0], "app", map[string]string{"value": "first"})
	if err := fleet.Git.Up(); err != nil {
		t.Fatal(err)
	}
	a.lookNow()
	a.says("gitrepo/app", "Ready", "True")
	for _, file := range []string{fleet.Hub.LogFile()} {
		if log, err := fleet.Hub.Log(); err != nil || strings.Contains(log, "right\"") {
			t.Errorf("%s holds the password; error %v", file, err)
		}
	}
}

func TestAppThatAnUnsuspendedFluxManagesIsRefusedByName(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	a := newApp(t, fleet)
	a.settle()
	m := fleet.Members[0]
	flux := a.flux(m, false)
	a.says("ks/app@"+m.Name(), "Ready", "ManagedByFlux")
	a.push(map[string]string{"deploy/app.yaml": a.configMap("app", "second")})
	a.lookNow()
	a.says("ks/app@"+m.Name(), "Ready", "ManagedByFlux")
	a.data(m, "app", map[string]string{"value": "first"})
	a.data(fleet.Members[1], "app", map[string]string{"value": "second"})
	suspended := &unstructured.Unstructured{Object: fluxKustomization(a.namespace, true).Object}
	if _, err := flux.Apply(t.Context(), "app", suspended, metav1.ApplyOptions{FieldManager: "test", Force: true}); err != nil {
		t.Fatal(err)
	}
	a.data(m, "app", map[string]string{"value": "second"})
}

func TestSecondPlacementAndUnsupportedFieldsAreRefusedByName(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	a := newApp(t, fleet)
	for _, test := range []struct{ object, words string }{
		{`{"apiVersion":"fleet.flotilla.dev/v1alpha1","kind":"Placement","metadata":{"name":"second","namespace":"NS"},"spec":{"apps":[{"kind":"Kustomization","name":"app"}],"clusters":{"names":["prod-1"]}}}`, "Placement/" + a.namespace + "/app"},
		{`{"apiVersion":"fleet.flotilla.dev/v1alpha1","kind":"Placement","metadata":{"name":"p","namespace":"NS"},"spec":{"apps":[{"kind":"Kustomization","name":"x"}],"clusters":{"names":["prod-1"]},"rolloutPolicyRef":{"name":"x"}}}`, "spec.rolloutPolicyRef: not supported yet"},
		{`{"apiVersion":"helm.toolkit.fluxcd.io/v2","kind":"HelmRelease","metadata":{"name":"x","namespace":"NS"},"spec":{}}`, "HelmRelease of helm.toolkit.fluxcd.io/v2 is not supported yet"},
	} {
		out := fleet.FleetctlWith(t.Context(), strings.ReplaceAll(test.object, "NS", a.namespace), "apply", "-f", "-")
		if err := out.Err(); err == nil || !strings.Contains(err.Error(), test.words) {
			t.Errorf("applied %s: %v; want it to say %q", test.object, err, test.words)
		}
	}
}

func TestSecondAgentOfAClusterWaitsAndTakesOver(t *testing.T) {
	t.Parallel()
	fleet := startFleet(t, cluster("prod-1"))
	a := newApp(t, fleet)
	a.settle()
	m := fleet.Members[0]
	second, err := m.SecondSpoke(t.Context(), fleet)
	if err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, patience, "the second agent waits and says so", func() error {
		log, err := second.Log()
		if err == nil && !strings.Contains(log, "another agent acts for this cluster") {
			err = errors.New(log)
		}
		return err
	})
	a.push(map[string]string{"deploy/app.yaml": a.configMap("app", "second")})
	a.settle()
	m.Spoke.Kill()
	a.push(map[string]string{"deploy/app.yaml": a.configMap("app", "third")})
	a.lookNow()
	a.data(m, "app", map[string]string{"value": "third"}) // the second one takes over
}

func TestHubWithAnotherKeyIsRefused(t *testing.T) {
	t.Parallel()
	fleet := startFleet(t, cluster("prod-1"))
	a := newApp(t, fleet)
	a.settle()
	m := fleet.Members[0]
	out, err := fleet.HubWithAnotherKey(t.Context())
	if err == nil || !strings.Contains(out+err.Error(), "the key file is not the one this database was made with") {
		t.Errorf("a hub with another key started on the database: %v\n%s", err, out)
	}
	if err := fleet.ReplaceHub(t.Context()); err != nil { // at the same address, with a database and a key of its own
		t.Fatal(err)
	}
	lab.Eventually(t, patience, "the spoke says that this is not its hub", func() error {
		log, err := m.Spoke.Log()
		if err == nil && !strings.Contains(log, "not the hub that the pin names") {
			err = errors.New("its log does not say so")
		}
		return err
	})
	a.patch(m, "app", "kubectl-edit", `{"data":{"value":"edited"}}`)
	a.data(m, "app", map[string]string{"value": "first"})
}
