package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"

	"flotilla.dev/flotilla/test/lab"
)

// shown is what fleetctl shows of an object, as far as tests look.
type shown struct {
	Metadata struct {
		Name, DeletionTimestamp string
	}
	Status struct {
		LastAppliedRevision, LastAttemptedRevision string
		Conditions                                 []struct{ Type, Status, Reason, Message string }
		UnknownAssignments                         []string
		Fleet                                      struct {
			Total, Ready, Failed, Held int
			PruneHeld                  *struct {
				Digest string
				Count  int
			}
		}
	}
}

// condition is "Status Reason Message" of the condition of that type; empty: it has none.
func (s shown) condition(kind string) string {
	for _, c := range s.Status.Conditions {
		if c.Type == kind {
			return c.Status + " " + c.Reason + " " + c.Message
		}
	}
	return ""
}

// get is what fleetctl shows of an object, such as ks/app@prod-1.
func (a *app) get(ref string) shown {
	a.t.Helper()
	var s shown
	if err := json.Unmarshal([]byte(a.fleetctl("get", ref, "-o", "json")), &s); err != nil {
		a.t.Fatalf("get %s: %v", ref, err)
	}
	return s
}

// says waits until a condition of an object says the words.
func (a *app) says(ref, condition, words string) {
	a.t.Helper()
	lab.Eventually(a.t, patience, ref+" says "+words, func() error {
		out := a.fleet.Fleetctl(a.t.Context(), "get", ref, "-o", "json", "-n", a.namespace)
		if err := out.Err(); err != nil {
			return err
		}
		var s shown
		if err := json.Unmarshal([]byte(out.Stdout), &s); err != nil {
			return err
		}
		if got := s.condition(condition); !strings.Contains(got, words) {
			return errors.New(got)
		}
		return nil
	})
}

// settle reconciles the App with its source and waits until every cluster has it.
func (a *app) settle() {
	a.t.Helper()
	a.fleetctl("reconcile", "ks/app", "--with-source", "--wait", "--timeout", patience.String())
}

// lookNow has the source looked at, whatever comes of it.
func (a *app) lookNow() {
	a.t.Helper()
	a.fleetctl("reconcile", "gitrepo/app")
}

var configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}

func (a *app) client(m *lab.Member) *kubernetes.Clientset {
	a.t.Helper()
	client, err := kubernetes.NewForConfig(m.REST())
	if err != nil {
		a.t.Fatal(err)
	}
	return client
}

// objects are the ConfigMaps of the app's namespace in a cluster by name, with their resourceVersions.
func (a *app) objects(m *lab.Member) map[string]string {
	a.t.Helper()
	client, err := metadata.NewForConfig(m.REST())
	if err != nil {
		a.t.Fatal(err)
	}
	list, err := client.Resource(configMaps).Namespace(a.namespace).List(a.t.Context(), metav1.ListOptions{})
	if err != nil {
		a.t.Fatal(err)
	}
	versions := map[string]string{}
	for _, item := range list.Items {
		if item.Name != "kube-root-ca.crt" {
			versions[item.Name] = item.ResourceVersion
		}
	}
	return versions
}

// names are the ConfigMaps of the app's namespace in a cluster.
func (a *app) names(m *lab.Member) []string {
	a.t.Helper()
	var names []string
	for name := range a.objects(m) {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// patch is a JSON merge patch of a ConfigMap by a field manager.
func (a *app) patch(m *lab.Member, name, manager, body string) {
	a.t.Helper()
	_, err := a.client(m).CoreV1().ConfigMaps(a.namespace).Patch(a.t.Context(), name, types.MergePatchType, []byte(body), metav1.PatchOptions{FieldManager: manager})
	if err != nil {
		a.t.Fatal(err)
	}
}

// data waits until a ConfigMap's data is as wanted.
func (a *app) data(m *lab.Member, name string, want map[string]string) {
	a.t.Helper()
	lab.Eventually(a.t, patience, "ConfigMap "+name+" in "+m.Name(), func() error {
		found, err := a.client(m).CoreV1().ConfigMaps(a.namespace).Get(a.t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if fmt.Sprint(found.Data) != fmt.Sprint(want) {
			return fmt.Errorf("data %v, want %v", found.Data, want)
		}
		return nil
	})
}

// flux makes a Flux Kustomization of the app's name in a cluster, with the CRD, and returns its client.
func (a *app) flux(m *lab.Member, suspended bool) dynamic.ResourceInterface {
	a.t.Helper()
	client, err := dynamic.NewForConfig(m.REST())
	if err != nil {
		a.t.Fatal(err)
	}
	crds := client.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	if _, err := crds.Apply(a.t.Context(), "kustomizations.kustomize.toolkit.fluxcd.io", fluxCRD, metav1.ApplyOptions{FieldManager: "test", Force: true}); err != nil {
		a.t.Fatal(err)
	}
	resource := client.Resource(schema.GroupVersionResource{Group: "kustomize.toolkit.fluxcd.io", Version: "v1", Resource: "kustomizations"}).Namespace(a.namespace)
	object := fluxKustomization(a.namespace, suspended)
	lab.Eventually(a.t, patience, "Flux's kind is served", func() error {
		_, err := resource.Apply(a.t.Context(), "app", object, metav1.ApplyOptions{FieldManager: "test", Force: true})
		return err
	})
	return resource
}

// quiet returns once the API servers of the members have had no write for a second: what was to be written is.
func quiet(a *app, members ...*lab.Member) {
	a.t.Helper()
	for _, m := range members {
		last := -1
		since := time.Now()
		lab.Eventually(a.t, patience, m.Name()+" comes to rest", func() error {
			all, err := m.Requests(a.t.Context())
			if err != nil {
				return err
			}
			if n := len(all.Where(isWrite)); n != last {
				last, since = n, time.Now()
			}
			if rest := time.Since(since); rest < time.Second {
				return fmt.Errorf("a write %s ago", rest)
			}
			return nil
		})
	}
}

// isWrite is a request of the spoke that is about an object of an App, rather than its own Lease, Secret or inventory.
func isWrite(r lab.Request) bool {
	switch r.Verb {
	case "create", "update", "patch", "delete":
	default:
		return false
	}
	return strings.HasPrefix(r.UserAgent, "flotilla-spoke") && r.Namespace != "flotilla-system"
}
