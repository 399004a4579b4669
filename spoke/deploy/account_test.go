package deploy_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/deploy"
	"flotilla.dev/flotilla/test/lab"
)

// serviceAccount makes one in the test's namespace.
func (b *bundle) serviceAccount(name string) {
	b.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := b.typed.CoreV1().ServiceAccounts(b.namespace).Create(b.Context(), account, metav1.CreateOptions{}); err != nil {
		b.Fatal(err)
	}
}

// allow lets a ServiceAccount do with these resources of the test's namespace what Flux's would need; the returned
// function takes that back.
func (b *bundle) allow(account string, resources ...string) (deny func()) {
	b.Helper()
	return b.allowTo(account, []string{"get", "create", "patch", "delete"}, resources...)
}

func (b *bundle) allowTo(account string, verbs []string, resources ...string) (deny func()) {
	b.Helper()
	rbac := b.typed.RbacV1()
	role := &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{GenerateName: account + "-"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{"*"}, Resources: resources, Verbs: verbs}},
	}
	role, err := rbac.Roles(b.namespace).Create(b.Context(), role, metav1.CreateOptions{})
	if err == nil {
		_, err = rbac.RoleBindings(b.namespace).Create(b.Context(), &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: role.Name},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
			Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: b.namespace, Name: account}},
		}, metav1.CreateOptions{})
	}
	if err != nil {
		b.Fatal(err)
	}
	return func() {
		b.Helper()
		if err := rbac.RoleBindings(b.namespace).Delete(b.Context(), role.Name, metav1.DeleteOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

// denied holds an error to what it must say of a denial, and that it says it once.
func denied(t *testing.T, err error, says ...string) {
	t.Helper()
	if !errors.Is(err, fleet.ErrDenied) {
		t.Fatalf("error %v", err)
	}
	for _, part := range says {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not say %q: %v", part, err)
		}
	}
}

// otherGoesOn has another App deployed, and its drift corrected, by the spoke itself, with nothing in its spec.
func (b *bundle) otherGoesOn() {
	b.Helper()
	mine := b.release
	b.release = fleet.Release{App: b.app, Prune: true}
	defer func() { b.release = mine }()
	b.canary()
}

// once does something again while the API server's authorizer has not heard of what was allowed a moment ago.
func (b *bundle) once(what string, f func() error) {
	b.Helper()
	b.eventually(what, f)
}

func TestAnAppDoesWhatItsServiceAccountMayAndNoMore(t *testing.T) {
	b := newBundle(t).start()
	b.serviceAccount("deployer")
	b.release.ServiceAccountName = "deployer"
	b.release.PruneGuard = "off"
	secret := fmt.Sprintf(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s","namespace":%q},"stringData":{"key":"s3cr3t"}}`, b.namespace)
	user := "system:serviceaccount:" + b.namespace + ":deployer"

	// Without rights nothing is written, and the message says who lacks what; another App goes on.
	denied(t, b.try(b.target(b.configMap("a", "1"))), `User "`+user+`" cannot patch resource "configmaps"`,
		"give ServiceAccount/"+b.namespace+"/deployer a Role or ClusterRole that allows it")
	b.otherGoesOn()

	deny := b.allow("deployer", "configmaps")
	b.once("the rights are known", func() error { return b.try(b.target(b.configMap("a", "1"), b.configMap("b", "1"))) })
	err := b.try(b.target(b.configMap("a", "1"), b.configMap("b", "1"), secret))
	denied(t, err, `User "`+user+`" cannot patch resource "secrets"`)
	if strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("error %v", err)
	}

	// Drift, the taking over of fields and pruning are the account's too.
	target := b.deploy(b.configMap("a", "1"), b.configMap("b", "1"))
	b.patch(configMaps, "a", "kubectl-edit", `{"data":{"key":"2","extra":"x"}}`)
	b.value(configMaps, "a", "1", "data", "key")
	b.value(configMaps, "a", nil, "data", "extra")
	deny()
	b.once("the rights are gone", func() error {
		if b.try(b.target(b.configMap("a", "2"), b.configMap("b", "1"))) == nil {
			return errors.New("it may still write")
		}
		return nil
	})
	denied(t, b.try(b.target(b.configMap("a", "1"))), `cannot get resource "configmaps"`, "give ServiceAccount/")
	b.patch(configMaps, "a", "kubectl-edit", `{"data":{"key":"2"}}`)
	b.eventually("the conflict says who lacks what", func() error {
		for _, conflict := range b.status().Conflicts {
			if conflict.Object.Name == "a" && strings.Contains(conflict.Message, `User "`+user+`" cannot patch`) {
				return nil
			}
		}
		return fmt.Errorf("%+v", b.status().Conflicts)
	})
	b.value(configMaps, "a", "2", "data", "key")
	b.allow("deployer", "configmaps")
	b.once("the rights are back", func() error { return b.try(target) })
	b.value(configMaps, "a", "1", "data", "key")
	b.deploy(b.configMap("a", "1"))
	if b.get(configMaps, "b") != nil {
		t.Error("it is not pruned")
	}
}

// Objects that only have to be made need no more than patch and create; to compare them they are read first.
func TestADiffSaysThatItNeedsGetBesidesWhatAnApplyNeeds(t *testing.T) {
	b := newBundle(t).start()
	b.serviceAccount("writer")
	b.release.ServiceAccountName = "writer"
	b.allowTo("writer", []string{"create", "patch"}, "configmaps")
	target := b.target(b.configMap("a", "1"))
	b.once("the rights are known", func() error { return b.try(target) })
	_, got := b.diff(b.target(b.configMap("a", "2")), false)
	if said := got["ConfigMap/a"].Error; !strings.Contains(said, `cannot get resource "configmaps"`) || !strings.HasSuffix(said, "the same rights as the apply, and get") {
		t.Errorf("the diff says %q", said)
	}
}

func TestAnAppUnderAnAccountIsAnotherAppsInNothing(t *testing.T) {
	b := newBundle(t).start()
	b.serviceAccount("deployer")
	b.deploy(b.configMap("a", "1"))
	limited := b.of("limited", b.target(b.configMap("b", "1")))
	limited.Release.ServiceAccountName = "deployer"
	if err := b.try(limited); !errors.Is(err, fleet.ErrDenied) {
		t.Errorf("error %v", err)
	}
	b.deploy(b.configMap("a", "2"))
	b.value(configMaps, "a", "2", "data", "key")
	if n := b.engine.Accounts(); n != 1 {
		t.Errorf("%d accounts", n)
	}

	// An account that no App names any more is forgotten.
	limited.Release.ServiceAccountName = ""
	if err := b.try(limited); err != nil || b.engine.Accounts() != 0 {
		t.Errorf("%d accounts, %v", b.engine.Accounts(), err)
	}
}

func TestDriftIsCorrectedUnderTheAccountAfterARestart(t *testing.T) {
	b := newBundle(t).start()
	b.serviceAccount("deployer")
	b.release.ServiceAccountName = "deployer"
	deny := b.allow("deployer", "configmaps")
	var target deploy.Target
	b.once("the rights are known", func() error { target = b.target(b.configMap("a", "1")); return b.try(target) })
	b.kill()
	b.patch(configMaps, "a", "someone", `{"data":{"key":"2"}}`)
	deny()
	b.start()
	b.load(target)
	b.eventually("it cannot be put back", func() error {
		if len(b.status().Conflicts) == 0 {
			return errors.New("no conflict")
		}
		return nil
	})
	b.value(configMaps, "a", "2", "data", "key")
	b.allow("deployer", "configmaps")
	b.value(configMaps, "a", "1", "data", "key")
}

func TestAServiceAccountThatDoesNotExistIsNamed(t *testing.T) {
	b := newBundle(t).start()
	b.release.ServiceAccountName = "nobody"
	denied(t, b.try(b.target(b.configMap("a", "1"))), "ServiceAccount/"+b.namespace+"/nobody does not exist: make it, or change spec.serviceAccountName")
	b.release.ServiceAccountName = "no:body"
	if err := b.try(b.target(b.configMap("a", "1"))); !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), "spec.serviceAccountName") {
		t.Errorf("error %v", err)
	}
}

func TestAnAppWithoutAServiceAccountActsAsTheSpokesDefault(t *testing.T) {
	b := newBundle(t)
	b.account = "default"
	b.start()
	denied(t, b.try(b.target(b.configMap("a", "1"))), `User "system:serviceaccount:`+b.namespace+`:default" cannot patch`)
	b.account = "tenant"
	b.start()
	denied(t, b.try(b.target(b.configMap("a", "1"))), "does not exist", "--default-service-account")
	b.serviceAccount("tenant")
	b.allow("tenant", "configmaps")
	b.once("the rights are known", func() error { return b.try(b.target(b.configMap("a", "1"))) })

	// An App's own comes first.
	b.release.ServiceAccountName = "default"
	denied(t, b.try(b.target(b.configMap("a", "2"))), ":default\" cannot patch")
}

func TestASpokeThatMayNotActForOthersSaysSo(t *testing.T) {
	b := newBundle(t)
	user := "spoke-of-" + b.namespace
	rbac := b.typed.RbacV1()
	_, err := rbac.ClusterRoles().Create(b.Context(), &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: user},
		Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"get", "list", "watch", "create", "update", "patch", "delete"},
		}},
	}, metav1.CreateOptions{})
	if err == nil {
		_, err = rbac.ClusterRoleBindings().Create(b.Context(), &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: user},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: user},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: user}},
		}, metav1.CreateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
	config, err := b.cluster.RESTFor(user)
	if err != nil {
		t.Fatal(err)
	}
	b.run(config)
	b.once("the spoke's own rights are known", func() error { return b.try(b.target(b.configMap("a", "1"))) })
	b.serviceAccount("deployer")
	b.release.ServiceAccountName = "deployer"
	denied(t, b.try(b.target(b.configMap("a", "2"))), "the spoke may not act as ServiceAccount/"+b.namespace+"/deployer", "impersonate on serviceaccounts")
}

func TestATombstoneDeletesUnderTheAccount(t *testing.T) {
	b := newBundle(t).start()
	b.serviceAccount("deployer")
	b.release.ServiceAccountName = "deployer"
	deny := b.allow("deployer", "configmaps")
	b.once("the rights are known", func() error { return b.try(b.target(b.configMap("a", "1"))) })
	deny()
	order := fleet.Tombstone{Delete: true, Confirmed: true}
	b.once("the rights are gone", func() error {
		done, err := b.tryRemove(order, fleet.Digest{})
		if done {
			t.Fatal("it is done")
		}
		if !errors.Is(err, fleet.ErrDenied) {
			return fmt.Errorf("error %w", err)
		}
		denied(t, err, "give ServiceAccount/")
		return nil
	})
	b.allow("deployer", "configmaps")
	b.once("it is deleted", func() error { _, err := b.tryRemove(order, fleet.Digest{}); return err })
	if len(b.owned(configMaps)) != 0 || b.engine.Accounts() != 0 {
		t.Errorf("objects %v, %d accounts", b.owned(configMaps), b.engine.Accounts())
	}
}

func TestATombstoneWhoseAccountIsGoneLeavesTheObjects(t *testing.T) {
	b := newBundle(t)
	broken := false
	b.intercept(func(r *http.Request) int {
		if broken && strings.HasSuffix(r.URL.Path, "/serviceaccounts/deployer") {
			return http.StatusServiceUnavailable
		}
		return 0
	})
	b.start()
	b.serviceAccount("deployer")
	b.release.ServiceAccountName = "deployer"
	b.allow("deployer", "configmaps")
	b.once("the rights are known", func() error { return b.try(b.target(b.configMap("a", "1"))) })
	if err := b.typed.CoreV1().ServiceAccounts(b.namespace).Delete(b.Context(), "deployer", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	broken = true // that nobody knows is not that it is gone
	if done, err := b.tryRemove(fleet.Tombstone{Delete: true, Confirmed: true}, fleet.Digest{}); done || err == nil {
		t.Errorf("done: %t, %v", done, err)
	}
	broken = false
	if !b.remove(fleet.Tombstone{Delete: true, Confirmed: true}, fleet.Digest{}) {
		t.Error("it is not done")
	}
	events := b.eventsOf("Orphaned")
	if b.get(configMaps, "a") == nil || len(b.inventory()) != 0 || len(events) == 0 || !events[0].Warning || !strings.Contains(events[0].Message, "deployer does not exist") {
		t.Errorf("events %+v", events)
	}
}

// Whether an expression holds is an answer about what it is asked of.
func TestHealthChecksOfOthersObjectsAreReadByTheAccount(t *testing.T) {
	b := newBundle(t).start()
	b.serviceAccount("deployer")
	b.allow("deployer", "configmaps")
	theirs := lab.TestNamespace(t, b.cluster)
	user := "system:serviceaccount:" + b.namespace + ":deployer"
	bait := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "bait"}, StringData: map[string]string{"password": "QQ"}}
	if _, err := b.typed.CoreV1().Secrets(theirs).Create(b.Context(), bait, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	b.release.HealthChecks = []fleet.ObjectReference{{APIVersion: "v1", Kind: "Secret", Name: "bait", Namespace: theirs}}
	b.release.HealthCheckExprs = []fleet.HealthCheckExpr{{APIVersion: "v1", Kind: "Secret", Current: "data.password.startsWith('U')", Failed: "data.password.startsWith('V')"}}
	b.deploy(b.configMap("a", "1"))
	b.says("the spoke reads it for an App without an account", func(s deploy.Status) bool { return s.Checks.Status == fleet.True })

	// What was seen by another is not the account's to know.
	b.release.ServiceAccountName = "deployer"
	b.once("the rights are known", func() error { return b.try(b.target(b.configMap("a", "1"), b.configMap("b", "1"))) })
	b.says("it may not be read, and who lacks what", func(s deploy.Status) bool {
		return s.Checks.Status == fleet.Unknown && strings.Contains(s.Checks.Message, "it cannot be read: ") &&
			strings.Contains(s.Checks.Message, `User "`+user+`" cannot get resource "secrets"`) && strings.Contains(s.Checks.Message, "give ServiceAccount/"+b.namespace+"/deployer")
	})
	answered := b.answers(theirs, func() {
		if _, err := b.typed.CoreV1().Secrets(theirs).Patch(b.Context(), "bait", types.MergePatchType, []byte(`{"stringData":{"password":"UU"}}`), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		b.canary()
	})
	for _, r := range answered {
		if r.Code != http.StatusForbidden {
			t.Errorf("%s %s was answered with %d", r.Verb, r.Path, r.Code)
		}
	}
	if len(answered) == 0 {
		t.Error("nobody asked for it")
	}
	if s := b.status(); s.Checks.Status != fleet.Unknown || s.Failed {
		t.Errorf("it is %+v", s.Checks)
	}

	// With the right to get it, and no more, it is looked at now and then.
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "reads"}, Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}}}}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "reads"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "reads"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: b.namespace, Name: "deployer"}},
	}
	_, err1 := b.typed.RbacV1().Roles(theirs).Create(b.Context(), role, metav1.CreateOptions{})
	_, err2 := b.typed.RbacV1().RoleBindings(theirs).Create(b.Context(), binding, metav1.CreateOptions{})
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	b.says("it is read by the account", func(s deploy.Status) bool { return s.Failed || s.Checks.Status == fleet.True })
}

// answers are those to the engine's requests for Secrets of a namespace, while f ran.
func (b *bundle) answers(namespace string, f func()) lab.Requests {
	b.Helper()
	begin := time.Now() // a watch is noted when it ends, too
	return b.requests(f).Where(func(r labRequest) bool {
		return r.Resource == "secrets" && r.Namespace == namespace && r.Received.After(begin)
	})
}
