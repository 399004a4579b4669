package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
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
			Total, Ready, Failed, Unknown, Held int
			Generation                          uint64
			Release                             string
			NotReady                            []struct {
				Object          struct{ Kind, Name string }
				Status, Message string
			}
			PruneHeld *struct {
				Digest, Reason string
				Count          int
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

// named waits until get, describe and a log name what is wrong with an object.
func (a *app) named(ref, words string, log func() (string, error)) {
	a.t.Helper()
	fleetctl := func(args ...string) func() (string, error) {
		return func() (string, error) {
			out := a.fleet.Fleetctl(a.t.Context(), append(args, "-n", a.namespace)...)
			return out.Stdout, out.Err()
		}
	}
	for what, read := range map[string]func() (string, error){
		"get " + ref: fleetctl("get", ref), "describe " + ref: fleetctl("describe", ref), "the log": log,
	} {
		lab.Eventually(a.t, patience, what+" says "+words, func() error {
			text, err := read()
			if err == nil && !strings.Contains(text, words) {
				err = errors.New("it says\n" + text)
			}
			return err
		})
	}
}

// since reads what a program logs from now on.
func since(p *lab.Program) func() (string, error) {
	before, err := p.Log()
	return func() (string, error) {
		if err != nil {
			return "", err
		}
		now, err := p.Log()
		return now[min(len(before), len(now)):], err
	}
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

// namespaceObject is the app's Namespace in a cluster.
func (a *app) namespaceObject(m *lab.Member) *corev1.Namespace {
	a.t.Helper()
	found, err := a.client(m).CoreV1().Namespaces().Get(a.t.Context(), a.namespace, metav1.GetOptions{})
	if err != nil {
		a.t.Fatal(err)
	}
	return found
}

// patch is a JSON merge patch of a ConfigMap by a field manager.
func (a *app) patch(m *lab.Member, name, manager, body string) {
	a.t.Helper()
	_, err := a.client(m).CoreV1().ConfigMaps(a.namespace).Patch(a.t.Context(), name, types.MergePatchType, []byte(body), metav1.PatchOptions{FieldManager: manager})
	if err != nil {
		a.t.Fatal(err)
	}
}

// delete deletes a ConfigMap.
func (a *app) delete(m *lab.Member, name string) {
	a.t.Helper()
	if err := a.client(m).CoreV1().ConfigMaps(a.namespace).Delete(a.t.Context(), name, metav1.DeleteOptions{}); err != nil {
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
