package sdk_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/helm/job"
)

// installing has an option of spec.install.
func (b *bundle) installing(o flux.HelmInstall) *bundle {
	b.job.Plan.Spec.Install = &o
	return b
}

// manager is who manages the fields of the ConfigMap "it", and how.
func (b *bundle) manager() string {
	b.Helper()
	object, err := b.typed.CoreV1().ConfigMaps(b.namespace).Get(b.Context(), "it", metav1.GetOptions{})
	if err != nil {
		b.Fatal(err)
	}
	var out []string
	for _, entry := range object.ManagedFields {
		out = append(out, entry.Manager+" "+string(entry.Operation))
	}
	return strings.Join(out, ", ")
}

func TestInstallServerSideApply(t *testing.T) {
	b := newBundle(t)
	no := false
	b.installing(flux.HelmInstall{ServerSideApply: &no}).done(job.Install)
	if got := b.manager(); got != "helm-controller Update" {
		t.Errorf("it is managed by %s", got)
	}
	// An upgrade goes on as it was installed, unless it is told otherwise.
	b.values(`{"a": "2"}`)
	b.done(job.Upgrade)
	if got := b.manager(); got != "helm-controller Update" {
		t.Errorf("after an upgrade it is managed by %s", got)
	}
	b.job.Plan.Spec.Upgrade = &flux.HelmUpgrade{ServerSideApply: "enabled"}
	b.done(job.Upgrade)
	if got := b.manager(); got != "helm-controller Apply" {
		t.Errorf("after an upgrade by the server it is managed by %s", got)
	}
	b.job.Plan.Spec.Upgrade.ServerSideApply = "disabled"
	b.values(`{"a": "3"}`)
	b.done(job.Upgrade)
	if got := b.manager(); !strings.Contains(got, "helm-controller Update") || b.data("it")["a"] != "3" {
		t.Errorf("after an upgrade by the client it is managed by %s", got)
	}
}

func TestInstallDisableTakeOwnership(t *testing.T) {
	b := newBundle(t)
	b.putConfigMap("it", map[string]string{"a": "somebody's"})
	f := b.installing(flux.HelmInstall{DisableTakeOwnership: true}).fails(job.Install, `ConfigMap "it"`, "exists and cannot be imported")
	if f.Reason != "InstallFailed" || f.Began || f.Transient {
		t.Errorf("it is %+v", f)
	}
	b.installing(flux.HelmInstall{}).historyIs(b.done(job.Install), "1 deployed")
	if got := b.data("it")["a"]; got != "default" {
		t.Errorf("the value is %q", got)
	}
}

func TestInstallWaitsForObjectsUnlessDisabled(t *testing.T) {
	b := newBundle(t)
	b.chart("1.0.0", map[string]string{"templates/web.yaml": deployment("web", "demo/fail: image")})
	b.job.Controls.Install = 2 * time.Second
	failed := b.do(job.Request{Action: job.Install})
	f := b.failed(failed, "Deployment/"+b.namespace+"/web is InProgress", "longer than 2s")
	if f.Reason != "InstallFailed" || !f.Began || f.Invalid || f.Transient {
		t.Errorf("it is %+v", f)
	}
	b.historyIs(failed, "1 failed")
	b.done(job.Uninstall)
	b.installing(flux.HelmInstall{DisableWait: true})
	b.historyIs(b.done(job.Install), "1 deployed")
}

func TestInstallWaitsForJobsUnlessDisabled(t *testing.T) {
	b := newBundle(t)
	b.chart("1.0.0", map[string]string{"templates/batch.yaml": "apiVersion: batch/v1\nkind: Job\nmetadata: {name: batch}\nspec:\n  template:\n" +
		"    metadata: {annotations: {demo/run: \"true\"}}\n    spec: {restartPolicy: Never, containers: [{name: a, image: a}]}\n"})
	b.job.Controls.Install = 3 * time.Second
	b.fails(job.Install, "Job/"+b.namespace+"/batch is InProgress")
	b.done(job.Uninstall)
	b.installing(flux.HelmInstall{DisableWaitForJobs: true})
	b.historyIs(b.done(job.Install), "1 deployed")
}

func TestInstallRunsHooksUnlessDisabled(t *testing.T) {
	b := newBundle(t)
	b.chart("1.0.0", map[string]string{"templates/hook.yaml": pod("hook", hookOf("pre-install")+", demo/fail: crash")})
	failed := b.do(job.Request{Action: job.Install})
	f := b.failed(failed, "pre-install", "Pod/"+b.namespace+"/hook is Failed")
	if !f.Began || b.data("it") != nil {
		t.Errorf("it is %+v, and the objects are there", f)
	}
	b.historyIs(failed, "1 failed")
	b.done(job.Uninstall)
	b.installing(flux.HelmInstall{DisableHooks: true})
	b.historyIs(b.done(job.Install), "1 deployed")
}

// between is a way to the API server that tells of each request.
func (b *bundle) between(heard func(*http.Request)) *bundle {
	b.Helper()
	config := b.cluster.REST()
	transport, err := rest.TransportFor(config)
	if err != nil {
		b.Fatal(err)
	}
	target, err := url.Parse(config.Host)
	if err != nil {
		b.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport = transport
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		heard(r)
		proxy.ServeHTTP(w, r)
	}))
	b.Cleanup(server.Close)
	b.job.Connection = job.Connection{Host: server.URL}
	return b
}

// Whether the API server validates is not asked of it, with the option or without: its description is long. That it does, the next
// test shows.
func TestDisableOpenAPIValidation(t *testing.T) {
	var asked atomic.Int64
	b := newBundle(t).between(func(r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/openapi/") {
			asked.Add(1)
		}
	})
	for _, disabled := range []bool{false, true} {
		b.installing(flux.HelmInstall{DisableOpenAPIValidation: disabled}).upgrading(flux.HelmUpgrade{DisableOpenAPIValidation: disabled})
		for _, action := range []job.Action{job.Install, job.Upgrade, job.Uninstall} {
			if b.done(action); asked.Load() > 0 {
				t.Errorf("%s: the description is asked for", action)
			}
		}
	}
}

// The API server validates by itself, whatever the option says: it is of old ones.
func TestAnUnknownFieldIsRefusedAndNamed(t *testing.T) {
	b := newBundle(t)
	b.chart("1.0.0", map[string]string{"templates/it.yaml": configMap("it", "a: b") + "unknown: field\n"})
	for _, disabled := range []bool{false, true} {
		f := b.installing(flux.HelmInstall{DisableOpenAPIValidation: disabled}).fails(job.Install, "unknown")
		if !f.Began || f.Transient || !f.Invalid {
			t.Errorf("it is %+v", f)
		}
		b.done(job.Uninstall)
	}
}

func TestInstallDisableSchemaValidation(t *testing.T) {
	b := newBundle(t)
	b.chart("1.0.0", map[string]string{"values.schema.json": `{"properties": {"a": {"type": "integer"}}}`})
	f := b.fails(job.Install, "at '/a': got string, want integer")
	if f.Began || !f.Invalid {
		t.Errorf("it is %+v", f)
	}
	b.installing(flux.HelmInstall{DisableSchemaValidation: true}).done(job.Install)
}

func TestInstallReplace(t *testing.T) {
	b := newBundle(t)
	b.job.Plan.Spec.Uninstall = &flux.HelmUninstall{KeepHistory: true}
	b.done(job.Install)
	b.historyIs(b.done(job.Uninstall), "1 uninstalled")
	if f := b.fails(job.Install, "cannot reuse a name"); f.Began || !f.Invalid {
		t.Errorf("it is %+v", f)
	}
	b.installing(flux.HelmInstall{Replace: true}).historyIs(b.done(job.Install), "2 deployed, 1 superseded")
	b.done(job.Uninstall)
	b.installing(flux.HelmInstall{}).historyIs(b.do(job.Request{Action: job.Install, Replace: true}), "3 deployed, 2 superseded, 1 superseded")
}

func TestInstallCreateNamespace(t *testing.T) {
	b := newBundle(t)
	target := b.namespace + "-target"
	b.job.Namespace, b.job.Plan.Spec.TargetNamespace = target, target
	b.fails(job.Install, target)
	b.done(job.Uninstall)
	b.installing(flux.HelmInstall{CreateNamespace: true}).historyIs(b.done(job.Install), "1 deployed")
	if _, err := b.typed.CoreV1().ConfigMaps(target).Get(t.Context(), "it", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := b.typed.CoreV1().Secrets(b.namespace).Get(t.Context(), "sh.helm.release.v1.app.v1", metav1.GetOptions{}); err != nil {
		t.Error("it is not stored in the storage namespace:", err)
	}
	if err := b.typed.CoreV1().Namespaces().Delete(t.Context(), target, metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
}

func TestAChartForAnotherKubernetesIsRefused(t *testing.T) {
	b := newBundle(t)
	b.chart("1.0.0", map[string]string{"Chart.yaml": "apiVersion: v2\nname: app\nversion: 1.0.0\nkubeVersion: '>=99.0.0'\n"})
	if f := b.fails(job.Install, "chart requires kubeVersion: >=99.0.0"); !f.Invalid || f.Began {
		t.Errorf("it is %+v", f)
	}
}
