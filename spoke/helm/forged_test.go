package helm

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/apply"
	"flotilla.dev/flotilla/spoke/helm/job"
)

// limited makes an account that may only read and write what is in the bundle's namespace, and has the App act as it.
func (b *bundle) limited() {
	b.Helper()
	_, err1 := b.client.CoreV1().ServiceAccounts(b.namespace).Create(b.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "limited"}}, metav1.CreateOptions{})
	_, err2 := b.client.RbacV1().RoleBindings(b.namespace).Create(b.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "limited"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: b.namespace, Name: "limited"}},
	}, metav1.CreateOptions{})
	if err := errors.Join(err1, err2); err != nil && !apierrors.IsAlreadyExists(err) {
		b.Fatal(err)
	}
	b.plan.Spec.ServiceAccountName = "limited"
}

// have waits until the objects of an App are known.
func (b *bundle) have(app fleet.Key, n int) {
	b.Helper()
	b.until(fmt.Sprintf("%s has %d objects", app.Name, n), func() bool {
		a := b.engine.known(app)
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.objects.Len() == n
	})
}

func TestWhatAStoredReleaseNamesIsReadAsTheAppsAccount(t *testing.T) {
	b := newBundle(t)
	for _, namespace := range []string{b.namespace, b.system} {
		if _, err := b.client.CoreV1().Secrets(namespace).Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "key"}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	b.limited()
	b.helm.manifest = fmt.Sprintf("{apiVersion: v1, kind: Secret, metadata: {name: key, namespace: %s}}\n---\n{apiVersion: v1, kind: Secret, metadata: {name: key}}\n"+
		"---\n{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: %s}}\n", b.system, b.system)
	b.deploy("web@1")
	b.have(b.app, 3)
	own, others := fleet.ObjectRef{Kind: "Secret", Namespace: b.namespace, Name: "key"}, fleet.ObjectRef{Kind: "Secret", Namespace: b.system, Name: "key"}
	if _, err := b.engine.read(t.Context(), own); err != nil {
		t.Errorf("its own: %v", err)
	}
	if _, err := b.engine.read(t.Context(), others); !errors.Is(err, fleet.ErrDenied) {
		t.Errorf("another namespace's: %v, want %v", err, fleet.ErrDenied)
	}
	if events, err := b.engine.watchPods(t.Context(), fleet.ObjectRef{Group: "apps", Kind: "Deployment", Namespace: b.system, Name: "web"}, "a=b"); !apierrors.IsForbidden(err) {
		t.Errorf("Pods of another namespace are watched: %v, %v", events, err)
	}
}

func TestAStoredReleaseTakesNoObjectFromTheAppThatItsLabelsName(t *testing.T) {
	b := newBundle(t)
	victim := b.app
	thief := victim
	thief.Name = "thief"
	configMaps := b.client.CoreV1().ConfigMaps(b.namespace)
	cm, err := configMaps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Name: "it", Labels: map[string]string{apply.Helm.NameLabel: victim.Name, apply.Helm.NamespaceLabel: victim.Namespace},
	}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b.helm.manifest = "{apiVersion: v1, kind: ConfigMap, metadata: {name: it}}\n"
	it := fleet.ObjectRef{Kind: "ConfigMap", Namespace: b.namespace, Name: "it"}
	owner := func(want fleet.Key) {
		t.Helper()
		if a := b.engine.owner(it); a == nil || a.key != want {
			t.Errorf("the object is %v's, want %v's", a, want)
		}
	}
	b.deploy("web@1")
	b.have(victim, 1)
	b.app = thief
	b.deploy("web@1")
	b.have(thief, 1)
	owner(victim)
	// Whoever comes first after a restart, it is the same.
	b.kill()
	b.start()
	b.deploy("web@1")
	b.have(thief, 1)
	b.app = victim
	b.deploy("web@1")
	b.have(victim, 1)
	owner(victim)
	// What is handed over is the other's at once.
	cm.Labels[apply.Helm.NameLabel] = thief.Name
	if _, err := configMaps.Update(t.Context(), cm, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	b.until("it is handed over", func() bool { b.engine.config.Changed(b.app); return b.engine.owner(it).key == thief })
	if strings.Contains(b.told(), "Drift") {
		t.Error("drift is told of")
	}
}

func TestHistoryIsReadAsTheAppsAccount(t *testing.T) {
	b := newBundle(t)
	p := &process{b.helm, job.Job{Release: "db", Namespace: b.system, Storage: b.system}, "web@1"}
	if _, err := p.Do(t.Context(), job.Request{Action: job.Install}); err != nil {
		t.Fatal(err)
	}
	b.plan.Spec.ReleaseName, b.plan.Spec.StorageNamespace = "db", b.system
	if h, err := b.engine.History(t.Context(), b.app, b.plan); err != nil || len(h.Versions) != 1 {
		t.Errorf("as the spoke: %+v, error %v", h, err)
	}
	b.limited()
	if h, err := b.engine.History(t.Context(), b.app, b.plan); !errors.Is(err, fleet.ErrDenied) || len(h.Versions) > 0 {
		t.Errorf("as who may not: %+v, error %v", h, err)
	}
}

func TestDescriptionsOfVersionsAreShownOnlyWithoutASecret(t *testing.T) {
	t.Parallel()
	long := `Upgrade "app" failed: ` + strings.Repeat("hidden ", maxMessage)
	for _, fixed := range []string{
		"", "Install complete", "Upgrade complete", "Rollback to 3", "Uninstallation complete", "Initial install underway", "Preparing upgrade", "Dry run complete",
		"Deletion in progress (or silently failed)",
	} {
		if got := describe(fixed, false); got != fixed {
			t.Errorf("%q is shown as %q", fixed, got)
		}
	}
	for _, text := range []string{long, "hidden", "Install complete\nhidden", "Release unlocked: hidden"} {
		if got := describe(text, false); strings.Contains(got, "hidden") || got == "" {
			t.Errorf("%.40q is shown as %q", text, got)
		}
	}
	if got := describe(long, true); len(got) > maxMessage+10 || !strings.HasPrefix(got, "Upgrade") {
		t.Errorf("what is plain is shown in %d bytes", len(got))
	}
	known := &record{Plain: true, Status: fleet.HelmStatus{History: []fleet.HelmSnapshot{{Version: 2}, {Version: 1}}}}
	all := history([]storedVersion{{version: 3, description: "of others"}, {version: 2, description: "plain"}, {version: 1, description: "not known"}}, known)
	if all[0].Description == "of others" || all[1].Description != "plain" || all[2].Description == "not known" {
		t.Errorf("history is %+v", all)
	}
}
