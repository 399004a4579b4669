package helm_test

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/helm"
	"flotilla.dev/flotilla/test/lab"
)

var (
	configMaps  = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	secrets     = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
)

func TestDriftIsPutRightAtOnceWithoutAnUpgrade(t *testing.T) {
	r := drifting(t, flux.HelmDriftEnabled)
	r.release(nil)
	r.says("NoDriftDetected")
	started := r.runner.started
	r.patch(configMaps, "it", "someone", `{"data":{"value":"theirs","more":"stays"}}`)
	r.is(configMaps, "it", "chart", "data", "value")
	r.is(configMaps, "it", "stays", "data", "more")
	before := r.get(configMaps, "it").GetUID()
	r.delete(configMaps, "it")
	r.is(configMaps, "it", "chart", "data", "value")
	made := r.get(configMaps, "it")
	if made.GetUID() == before {
		t.Error("it was not made anew")
	}
	if l, a := made.GetLabels(), made.GetAnnotations(); l["app.kubernetes.io/managed-by"] != "Helm" || l["helm.toolkit.fluxcd.io/name"] != "app" ||
		a["meta.helm.sh/release-name"] != "app" || a["meta.helm.sh/release-namespace"] != r.namespace {
		t.Errorf("it has labels %v and annotations %v", l, a)
	}
	r.until("two corrections are counted", func() bool { return r.engine.Status(r.app()).DriftCorrections == 2 })
	events := r.eventsOf("DriftCorrected")
	if len(events) != 2 || !strings.Contains(events[0].Message, "/app.v1 has been corrected") || !strings.HasSuffix(events[0].Message,
		"ConfigMap/"+r.namespace+"/it changed (0 additions, 1 changes, 0 removals): /data/value") || !strings.HasSuffix(events[1].Message, "/it removed") {
		t.Errorf("told is %+v", events)
	}
	r.says("NoDriftDetected")
	r.wants("v1:deployed")
	if n := r.runner.started - started; n != 0 {
		t.Errorf("%d processes were started", n)
	}
}

func TestALabelOfTheReleaseIsPutBack(t *testing.T) {
	r := drifting(t, flux.HelmDriftEnabled)
	r.release(nil)
	r.patch(configMaps, "it", "someone", `{"metadata":{"labels":{"helm.toolkit.fluxcd.io/name":null,"helm.toolkit.fluxcd.io/namespace":null}}}`)
	r.is(configMaps, "it", "app", "metadata", "labels", "helm.toolkit.fluxcd.io/name")
}

func TestDriftIsToldOfAndNothingIsWritten(t *testing.T) {
	r := drifting(t, flux.HelmDriftWarn)
	secret := "apiVersion: v1\nkind: Secret\nmetadata: {name: hidden}\nstringData: {password: '{{ .Values.value }}'}\n"
	r.plan.Spec.Values = []byte(`{"value":"c0nfidential"}`)
	r.release(map[string]string{"templates/hidden.yaml": secret})
	written := writes(r.requests(func() {
		r.patch(configMaps, "it", "someone", `{"data":{"version":"theirs"}}`)
		r.patch(secrets, "hidden", "someone", `{"stringData":{"password":"pl4in","added":"more"}}`)
		r.until("both are told of", func() bool {
			return strings.Count(r.status().Drifted.Message, " changed (") == 2
		})
		r.delete(configMaps, "it")
		r.until("it is told that it is gone", func() bool { return strings.Contains(r.status().Drifted.Message, "/it removed") })
	}))
	if len(written) > 0 {
		t.Errorf("written was %v", written)
	}
	drifted := r.status().Drifted
	if drifted.Status != fleet.True || drifted.Reason != "DriftDetected" || !strings.Contains(drifted.Message, "Secret/"+r.namespace+"/hidden changed (0 additions, 1 changes, 0 removals): /data/password") {
		t.Errorf("the condition is %+v", drifted)
	}
	events := r.eventsOf("DriftDetected")
	if len(events) < 3 || !events[0].Warning {
		t.Errorf("told is %+v", events)
	}
	told := fmt.Sprint(events, r.engine.Status(r.app()), string(r.engine.Status(r.app()).Detail))
	for _, value := range []string{"c0nfidential", "pl4in", "YzBuZmlkZW50aWFs", "cGw0aW4"} {
		if strings.Contains(told, value) {
			t.Errorf("%q is told: %s", value, told)
		}
	}
	if s := r.engine.Status(r.app()); s.Ready.Status != fleet.True {
		t.Errorf("it is not ready: %+v", s.Ready)
	}

	// What is as it was again is told too, and in another mode all is put right.
	r.patch(secrets, "hidden", "someone", `{"stringData":{"password":"c0nfidential"}}`)
	r.until("the Secret is told of no more", func() bool { return !strings.Contains(r.status().Drifted.Message, "hidden") })
	r.plan.Spec.DriftDetection.Mode = flux.HelmDriftEnabled
	r.deploy(r.target("1.0.0", map[string]string{"templates/hidden.yaml": secret}))
	r.is(configMaps, "it", "1.0.0", "data", "version")
	r.says("NoDriftDetected")
}

func TestNothingIsAskedOfObjectsWhoseDriftNobodyMinds(t *testing.T) {
	r := newReal(t)
	target := r.release(nil)
	asked := r.requests(func() {
		r.patch(configMaps, "it", "someone", `{"data":{"value":"theirs"}}`)
		target.Verify = true
		r.deploy(target)
		r.delete(configMaps, "it")
		r.until("its health shows that it is gone", func() bool { return r.engine.Status(r.app()).ObjectsNotReady == 1 })
	}).Where(func(q lab.Request) bool { return q.Resource == "configmaps" })
	if len(asked) > 0 {
		t.Errorf("asked was %v", asked)
	}
	if d := r.status().Drifted; d != (fleet.Condition{}) {
		t.Errorf("Drifted is %+v", d)
	}
}

func TestIgnoredPathsAreLeftToOthersWhenTheRestIsPutRight(t *testing.T) {
	r := drifting(t, flux.HelmDriftEnabled,
		fleet.IgnoreRule{Paths: []string{"/spec/replicas"}, Target: &fleet.PatchTarget{Kind: "Deploy.*", Name: "w.b", LabelSelector: "scaled=yes"}},
		fleet.IgnoreRule{Paths: []string{"/data/version"}})
	r.release(map[string]string{"templates/web.yaml": web(", labels: {scaled: 'yes'}"), "templates/other.yaml": strings.ReplaceAll(web(""), "web", "fixed")})
	r.patch(configMaps, "it", "someone", `{"data":{"version":"theirs"}}`)
	r.patch(deployments, "web", "scaler", `{"spec":{"replicas":2}}`)
	r.patch(deployments, "fixed", "scaler", `{"spec":{"replicas":2}}`)
	r.is(deployments, "fixed", "1", "spec", "replicas")
	r.patch(deployments, "web", "someone", `{"spec":{"minReadySeconds":1,"template":{"metadata":{"labels":{"app":"web"}}},"revisionHistoryLimit":3}}`)
	r.patch(configMaps, "it", "someone", `{"data":{"value":"theirs"}}`)
	r.is(configMaps, "it", "chart", "data", "value")
	if have := r.get(configMaps, "it"); have.Object["data"].(map[string]any)["version"] != "theirs" {
		t.Errorf("it has %v", have.Object["data"])
	}
	_, err := r.objects(deployments).Patch(r.Context(), "web", types.JSONPatchType,
		[]byte(`[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"example.com/web:2"}]`), metav1.PatchOptions{FieldManager: "someone"})
	if err != nil {
		t.Fatal(err)
	}
	r.until("the image is put back", func() bool {
		containers, _, _ := unstructured.NestedSlice(r.get(deployments, "web").Object, "spec", "template", "spec", "containers")
		return containers[0].(map[string]any)["image"] == "example.com/web:1"
	})
	if n, _, _ := unstructured.NestedInt64(r.get(deployments, "web").Object, "spec", "replicas"); n != 2 {
		t.Errorf("it has %d replicas", n)
	}
}

func TestWhatSaysSoItselfIsLeftAlone(t *testing.T) {
	r := drifting(t, flux.HelmDriftEnabled)
	r.release(map[string]string{
		"templates/own.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: own, labels: {helm.toolkit.fluxcd.io/driftDetection: Disabled}}\ndata: {a: chart}\n",
	})
	r.patch(configMaps, "own", "someone", `{"data":{"a":"theirs"}}`)
	r.patch(configMaps, "it", "someone", `{"metadata":{"annotations":{"helm.toolkit.fluxcd.io/driftDetection":"disabled"}},"data":{"value":"theirs"}}`)
	// What comes later is put right: those before would have been too.
	r.patch(configMaps, "own", "someone", `{"data":{"b":"theirs"}}`)
	r.deploy(func() helm.Target {
		r.plan.Spec.Values = []byte(`{"value":"second"}`)
		return r.target("1.0.1", map[string]string{"templates/last.yaml": configMap("last"), "templates/own.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: own, labels: {helm.toolkit.fluxcd.io/driftDetection: Disabled}}\ndata: {a: chart}\n"})
	}())
	r.healthy(fleet.True)
	r.patch(configMaps, "it", "someone", `{"data":{"value":"again"}}`)
	r.patch(configMaps, "own", "someone", `{"data":{"a":"again"}}`)
	r.patch(configMaps, "last", "someone", `{"data":{"a":"theirs"}}`)
	r.is(configMaps, "last", "chart", "data", "a")
	for name, path := range map[string]string{"it": "value", "own": "a"} {
		if have := r.get(configMaps, name); have.Object["data"].(map[string]any)[path] != "again" {
			t.Errorf("%s has %v", name, have.Object["data"])
		}
	}
	// Without it, it is put right.
	r.patch(configMaps, "it", "someone", `{"metadata":{"annotations":{"helm.toolkit.fluxcd.io/driftDetection":null}}}`)
	r.is(configMaps, "it", "second", "data", "value")
}

func TestNothingOfOthersIsTakenWhereTheReleaseWasAppliedByTheClient(t *testing.T) {
	r := drifting(t, flux.HelmDriftEnabled)
	no := false
	r.plan.Spec.Install = &flux.HelmInstall{ServerSideApply: &no}
	r.release(map[string]string{"templates/web.yaml": web("")})
	for _, entry := range r.get(configMaps, "it").GetManagedFields() {
		if entry.Operation == metav1.ManagedFieldsOperationApply {
			t.Fatalf("it was applied on the server: %+v", entry)
		}
	}
	r.patch(configMaps, "it", "someone", `{"metadata":{"annotations":{"theirs":"too"}},"data":{"more":"theirs"}}`)
	force := true
	if _, err := r.objects(configMaps).Patch(r.Context(), "it", types.ApplyPatchType,
		[]byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"it"},"data":{"value":"chart","own":"applied"}}`), metav1.PatchOptions{FieldManager: "applier", Force: &force}); err != nil {
		t.Fatal(err)
	}
	r.patch(deployments, "web", "scaler", `{"spec":{"minReadySeconds":1,"template":{"spec":{"terminationGracePeriodSeconds":5}}}}`)
	r.patch(configMaps, "it", "kubectl-edit", `{"data":{"version":"theirs","kubectls":"stays"}}`)
	r.is(configMaps, "it", "1.0.0", "data", "version")
	r.patch(deployments, "web", "someone", `{"spec":{"replicas":3}}`)
	r.is(deployments, "web", "1", "spec", "replicas")
	it := r.get(configMaps, "it")
	data, _, _ := unstructured.NestedStringMap(it.Object, "data")
	if data["more"] != "theirs" || data["kubectls"] != "stays" || data["own"] != "applied" || data["value"] != "chart" || it.GetAnnotations()["theirs"] != "too" {
		t.Errorf("it has %v %v", data, it.GetAnnotations())
	}
	managers := map[string]string{}
	for _, entry := range append(it.GetManagedFields(), r.get(deployments, "web").GetManagedFields()...) {
		managers[entry.Manager] += entry.FieldsV1.String()
	}
	for manager, field := range map[string]string{"someone": "f:more", "applier": "f:value", "scaler": "f:minReadySeconds"} {
		if !strings.Contains(managers[manager], field) {
			t.Errorf("%s has lost %s: %s", manager, field, managers[manager])
		}
	}
	if _, left := managers["kubectl-edit"]; left && strings.Contains(managers["kubectl-edit"], "f:version") {
		t.Errorf("kubectl still has what was put back: %s", managers["kubectl-edit"])
	}
	if n, _, _ := unstructured.NestedInt64(r.get(deployments, "web").Object, "spec", "minReadySeconds"); n != 1 {
		t.Errorf("minReadySeconds is %d", n)
	}
	// The next upgrade goes on as before.
	r.plan.Spec.Values = []byte(`{"value":"second"}`)
	r.deploy(r.target("1.0.1", map[string]string{"templates/web.yaml": web("")}))
	r.is(configMaps, "it", "second", "data", "value")
	r.is(configMaps, "it", "applied", "data", "own")
}

func TestWhatDriftedBeforeARestartIsPutRightAfterIt(t *testing.T) {
	r := drifting(t, flux.HelmDriftEnabled)
	target := r.release(nil)
	r.stop()
	r.stop = nil
	r.patch(configMaps, "it", "someone", `{"data":{"value":"theirs"}}`)
	r.start()
	if err := r.engine.Ready(r.Context()); err != nil {
		t.Fatal(err)
	}
	if s := r.engine.Status(r.app()); s.Healthy.Status == fleet.True {
		t.Errorf("before it is loaded the status is %+v", s)
	}
	if err := r.engine.Load(r.Context(), r.app(), target.Manifest, target.Release, target.Binding); err != nil {
		t.Fatal(err)
	}
	r.is(configMaps, "it", "chart", "data", "value")
	r.healthy(fleet.True)
}

func TestAFullPassLooksAtEveryObjectWithoutAProcess(t *testing.T) {
	r := drifting(t, flux.HelmDriftEnabled)
	target := r.release(map[string]string{"templates/two.yaml": configMap("two"), "templates/web.yaml": web("")})
	r.until("what is new is looked at", func() bool {
		return r.status().Drifted.Status == fleet.False
	})
	started := r.runner.started
	target.Verify = true
	before, err := r.cluster.Requests(r.Context())
	if err != nil {
		t.Fatal(err)
	}
	seen := r.requests(func() {
		r.deploy(target)
		r.until("every object is looked at", func() bool {
			all, err := r.cluster.Requests(r.Context())
			if err != nil {
				t.Fatal(err)
			}
			looked := map[string]bool{}
			for _, q := range all[len(before):] {
				if q.UserAgent == "engine-"+r.namespace && q.Namespace == r.namespace && q.DryRun && q.FieldManager == "helm-controller" {
					looked[q.Name] = true
				}
			}
			return looked["it"] && looked["two"] && looked["web"]
		})
	})
	if len(writes(seen)) > 0 || r.runner.started != started {
		t.Errorf("written was %v, %d processes were started", writes(seen), r.runner.started-started)
	}
}

func TestOneObjectThatCannotBeComparedHidesNoOther(t *testing.T) {
	r := drifting(t, flux.HelmDriftEnabled)
	r.release(map[string]string{"templates/web.yaml": web("")})
	// Its selector cannot be changed back: the apply is refused.
	r.delete(deployments, "web")
	other := `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","labels":{"helm.toolkit.fluxcd.io/name":"app","helm.toolkit.fluxcd.io/namespace":"` + r.namespace + `"}},
		"spec":{"selector":{"matchLabels":{"app":"other"}},"template":{"metadata":{"labels":{"app":"other"}},"spec":{"containers":[{"name":"web","image":"x"}]}}}}`
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON([]byte(other)); err != nil {
		t.Fatal(err)
	}
	r.until("another is in its place", func() bool {
		_, err := r.objects(deployments).Create(r.Context(), object, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			_ = r.objects(deployments).Delete(r.Context(), "web", metav1.DeleteOptions{}) // until it is this one
		}
		return err == nil
	})
	r.patch(configMaps, "it", "someone", `{"data":{"value":"theirs"}}`)
	r.is(configMaps, "it", "chart", "data", "value")
	r.until("it is reported", func() bool {
		s := r.engine.Status(r.app())
		return s.Healthy.Status == fleet.False && len(s.NotReady) == 1 && strings.Contains(s.NotReady[0].Message, "cannot be put right")
	})
}

func TestAnObjectThatLabelsGiveToAnotherIsLeftToThatOne(t *testing.T) {
	r := drifting(t, flux.HelmDriftEnabled)
	target := r.release(nil)
	r.patch(configMaps, "it", "kustomize-controller", `{"metadata":{"labels":{"helm.toolkit.fluxcd.io/name":"other"}},"data":{"value":"theirs"}}`)
	r.until("it is reported", func() bool {
		s := r.engine.Status(r.app())
		return len(s.NotReady) == 1 && strings.Contains(s.NotReady[0].Message, "HelmRelease "+r.namespace+"/other has it too")
	})
	if value := r.get(configMaps, "it").Object["data"].(map[string]any)["value"]; value != "theirs" {
		t.Errorf("it has %v", value)
	}
	r.patch(configMaps, "it", "kustomize-controller", `{"metadata":{"labels":{"helm.toolkit.fluxcd.io/name":null,"kustomize.toolkit.fluxcd.io/name":"k","kustomize.toolkit.fluxcd.io/namespace":"n"}}}`)
	r.until("a Kustomization's is reported", func() bool {
		s := r.engine.Status(r.app())
		return len(s.NotReady) == 1 && strings.Contains(s.NotReady[0].Message, "Kustomization n/k has it too")
	})
	r.patch(configMaps, "it", "kustomize-controller", `{"metadata":{"labels":{"kustomize.toolkit.fluxcd.io/name":null}}}`)
	target.Verify = true // without its label it is not watched
	r.deploy(target)
	r.is(configMaps, "it", "chart", "data", "value")
	r.healthy(fleet.True)
}

func TestDriftIsPutRightByTheAppsAccount(t *testing.T) {
	r := drifting(t, flux.HelmDriftEnabled)
	accounts, bindings := r.client.CoreV1().ServiceAccounts(r.namespace), r.client.RbacV1().RoleBindings(r.namespace)
	if _, err := accounts.Create(r.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "deployer"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := bindings.Create(r.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "deployer"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: r.namespace, Name: "deployer"}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	r.plan.Spec.ServiceAccountName = "deployer"
	r.release(nil)
	r.patch(configMaps, "it", "someone", `{"data":{"value":"theirs"}}`)
	r.is(configMaps, "it", "chart", "data", "value")
	// What it may not do any more is said, with the way out.
	if err := bindings.Delete(r.Context(), "deployer", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	reported := func(what string) {
		t.Helper()
		r.until("it is reported that it may not "+what, func() bool {
			r.patch(configMaps, "it", "someone", `{"data":{"value":"theirs"}}`)
			s := r.engine.Status(r.app())
			return len(s.NotReady) == 1 && strings.Contains(s.NotReady[0].Message, `User "system:serviceaccount:`+r.namespace+`:deployer" cannot `+what) &&
				strings.Contains(s.NotReady[0].Message, "give ServiceAccount/"+r.namespace+"/deployer a Role")
		})
	}
	reported(`get resource "secrets"`)
	if _, err := r.client.RbacV1().Roles(r.namespace).Create(r.Context(), &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: "reader"}, Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"secrets", "configmaps"}, Verbs: []string{"get"}}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := bindings.Create(r.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "reader"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "reader"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: r.namespace, Name: "deployer"}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	reported(`patch resource "configmaps"`)
}

func TestHealthIsThatOfTheNewestVersionAsSoonAsItIsThere(t *testing.T) {
	r := newReal(t)
	r.plan.Spec.Upgrade = &flux.HelmUpgrade{DisableWait: true}
	good := map[string]string{"templates/web.yaml": web("")}
	r.release(good)
	bad := map[string]string{"templates/web.yaml": strings.Replace(web(""), "labels: {app: web}}", "labels: {app: web}, annotations: {demo/fail: crash}}", 1)}
	r.deploy(r.target("2.0.0", bad))
	r.until("its Pods say why", func() bool {
		s := r.engine.Status(r.app())
		if s.Healthy.Status == fleet.True {
			t.Fatalf("it is called healthy: %+v", s)
		}
		return strings.Contains(s.Healthy.Message, "CrashLoopBackOff")
	})
}

func TestWhoKeepsWritingIsReported(t *testing.T) {
	r := drifting(t, flux.HelmDriftEnabled)
	r.release(nil)
	n := 0
	r.until("it is a conflict", func() bool {
		n++
		r.patch(configMaps, "it", "rival", fmt.Sprintf(`{"data":{"value":"theirs %d"}}`, n))
		s := r.engine.Status(r.app())
		return s.Healthy.Status == fleet.False && len(s.NotReady) == 1 && strings.Contains(s.NotReady[0].Message, "changed by others and put back")
	})
}

func TestADeploymentThatDoesNotBecomeReadyAfterTheReleaseIsUnhealthy(t *testing.T) {
	r := newReal(t)
	r.plan.Spec.Install = &flux.HelmInstall{DisableWait: true}
	r.deploy(r.target("1.0.0", map[string]string{"templates/web.yaml": strings.Replace(broken("deployment"), "spec:\n", "spec:\n  progressDeadlineSeconds: 1\n", 1)}))
	r.until("it has failed, and its Pods say why", func() bool {
		s := r.engine.Status(r.app())
		return s.Failed && s.Healthy.Status == fleet.False && s.Objects == 2 && s.ObjectsNotReady == 1 && strings.Contains(s.Healthy.Message, "CrashLoopBackOff")
	})
	if s := r.engine.Status(r.app()); s.Ready.Status != fleet.True {
		t.Errorf("the release is not ready: %+v", s.Ready)
	}
	// By expressions, it is as healthy as they say.
	r.plan.Spec.HealthCheckExprs = []fleet.HealthCheckExpr{{APIVersion: "apps/v1", Kind: "Deployment", Current: "true"}}
	r.deploy(r.target("1.0.0", map[string]string{"templates/web.yaml": strings.Replace(broken("deployment"), "spec:\n", "spec:\n  progressDeadlineSeconds: 1\n", 1)}))
	r.healthy(fleet.True)
}
