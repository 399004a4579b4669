package deploy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/ssa"
	"github.com/google/go-cmp/cmp"

	"flotilla.dev/flotilla/pkg/fleet"
)

// handedOver are objects of every sort that a hand-over might change. NS stands for the test's namespace.
const handedOver = `
{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"NS-more","labels":{"team":"a"}}}
{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"widgets.NS.example.com"},"spec":{"group":"NS.example.com","scope":"Namespaced",
	"names":{"plural":"widgets","singular":"widget","kind":"Widget"},"versions":[{"name":"v1","served":true,"storage":true,"subresources":{"status":{}},
	"schema":{"openAPIV3Schema":{"type":"object","properties":{"spec":{"type":"object","properties":{"size":{"type":"integer","default":1},"parts":{"type":"array","items":{"type":"string"}}}},"status":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}}}}]}}
{"apiVersion":"NS.example.com/v1","kind":"Widget","metadata":{"name":"widget","namespace":"NS"},"spec":{"parts":["a","b"]}}
{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"NS:read:all"},"rules":[{"apiGroups":[""],"resources":["pods"],"verbs":["get"]}]}
{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"NS:sum"},"aggregationRule":{"clusterRoleSelectors":[{"matchLabels":{"sum":"NS"}}]},"rules":[]}
{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding","metadata":{"name":"NS:read:all"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"NS:read:all"},"subjects":[{"kind":"ServiceAccount","name":"app","namespace":"NS"}]}
{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"Role","metadata":{"name":"app:edit","namespace":"NS"},"rules":[{"apiGroups":[""],"resources":["pods"],"verbs":["get"]}]}
{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"RoleBinding","metadata":{"name":"app:edit","namespace":"NS"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"app:edit"},"subjects":[{"kind":"ServiceAccount","name":"app"}]}
{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"app","namespace":"NS"},"automountServiceAccountToken":false}
{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"settings","namespace":"NS","annotations":{}},"data":{"empty":"","key":"1"},"binaryData":{"raw":"AAE="},"immutable":false}
{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"bare","namespace":"NS","creationTimestamp":null,"labels":null}}
{"apiVersion":"v1","kind":"Secret","metadata":{"name":"plain","namespace":"NS"},"data":{"a":"eA=="},"stringData":{"b":"y","a":"z"}}
{"apiVersion":"v1","kind":"Secret","metadata":{"name":"typed","namespace":"NS"},"type":"kubernetes.io/basic-auth","stringData":{"username":"u","password":"p"}}
{"apiVersion":"v1","kind":"Service","metadata":{"name":"web","namespace":"NS"},"spec":{"selector":{"app":"web"},"ports":[{"name":"http","port":80,"targetPort":"http"},{"name":"dns","port":53,"protocol":"UDP","targetPort":53}]},"status":{"loadBalancer":{}}}
{"apiVersion":"v1","kind":"Service","metadata":{"name":"headless","namespace":"NS"},"spec":{"clusterIP":"None","publishNotReadyAddresses":false,"selector":{"app":"web"},"ports":[{"port":80}]}}
{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"NS"},"spec":{"replicas":0,"paused":false,"selector":{"matchLabels":{"app":"web"}},"template":{"metadata":{"creationTimestamp":null,"labels":{"app":"web"}},
	"spec":{"securityContext":{},"initContainers":[{"name":"init","image":"example.com/init:1","ports":[{"containerPort":81}]}],
	"containers":[{"name":"web","image":"example.com/web:1","args":[],"env":[{"name":"EMPTY","value":""},{"name":"ONE","value":"1"},{"name":"NODE","valueFrom":{"fieldRef":{"fieldPath":"spec.nodeName"}}}],
	"ports":[{"name":"http","containerPort":8080}],"resources":{"requests":{"cpu":1,"memory":"1024Mi"},"limits":{"cpu":0.5e1}},"livenessProbe":{"httpGet":{"path":"/","port":8080},"periodSeconds":10}}],
	"volumes":[{"name":"tmp","emptyDir":{}},{"name":"conf","configMap":{"name":"settings"}}]}}},"status":{}}
{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"small","namespace":"NS"},"spec":{"replicas":0,"selector":{"matchLabels":{"app":"small"}},"template":{"metadata":{"labels":{"app":"small"}},"spec":{"containers":[{"name":"main","image":"example.com/small:1"}]}}}}
{"apiVersion":"apps/v1","kind":"StatefulSet","metadata":{"name":"db","namespace":"NS"},"spec":{"replicas":0,"serviceName":"headless","selector":{"matchLabels":{"app":"db"}},"template":{"metadata":{"labels":{"app":"db"}},"spec":{"containers":[{"name":"db","image":"example.com/db:1","volumeMounts":[{"name":"data","mountPath":"/data"}]}]}},
	"volumeClaimTemplates":[{"metadata":{"name":"data"},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}]}}
{"apiVersion":"apps/v1","kind":"DaemonSet","metadata":{"name":"agent","namespace":"NS"},"spec":{"selector":{"matchLabels":{"app":"agent"}},"template":{"metadata":{"labels":{"app":"agent"}},"spec":{"containers":[{"name":"agent","image":"example.com/agent:1","ports":[{"containerPort":9100,"hostPort":9100}]}]}}}}
{"apiVersion":"batch/v1","kind":"CronJob","metadata":{"name":"nightly","namespace":"NS"},"spec":{"schedule":"0 3 * * *","suspend":true,"jobTemplate":{"spec":{"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"job","image":"example.com/job:1"}]}}}}}}
{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"once","namespace":"NS"},"spec":{"suspend":true,"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"job","image":"example.com/job:1"}]}}}}
{"apiVersion":"policy/v1","kind":"PodDisruptionBudget","metadata":{"name":"web","namespace":"NS"},"spec":{"minAvailable":1,"selector":{"matchLabels":{"app":"web"}}}}
{"apiVersion":"autoscaling/v2","kind":"HorizontalPodAutoscaler","metadata":{"name":"small","namespace":"NS"},"spec":{"minReplicas":1,"maxReplicas":3,"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"nobody"},"metrics":[{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":80}}}]}}
{"apiVersion":"networking.k8s.io/v1","kind":"Ingress","metadata":{"name":"web","namespace":"NS"},"spec":{"rules":[{"host":"web.example.com","http":{"paths":[{"path":"/","pathType":"Prefix","backend":{"service":{"name":"web","port":{"name":"http"}}}}]}}]}}
{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"web","namespace":"NS"},"spec":{"podSelector":{},"policyTypes":["Ingress"],"ingress":[{"ports":[{"port":80}]}]}}
{"apiVersion":"networking.k8s.io/v1","kind":"IngressClass","metadata":{"name":"NS"},"spec":{"controller":"example.com/ingress"}}
{"apiVersion":"storage.k8s.io/v1","kind":"StorageClass","metadata":{"name":"NS"},"provisioner":"example.com/disk","parameters":{"type":"fast"}}
{"apiVersion":"scheduling.k8s.io/v1","kind":"PriorityClass","metadata":{"name":"NS"},"value":0,"globalDefault":false}
{"apiVersion":"v1","kind":"ResourceQuota","metadata":{"name":"quota","namespace":"NS"},"spec":{"hard":{"count/widgets.example.com":10,"requests.cpu":1000}}}
{"apiVersion":"v1","kind":"LimitRange","metadata":{"name":"limits","namespace":"NS-more"},"spec":{"limits":[{"type":"Container","default":{"cpu":"0.5","memory":1073741824}}]}}
{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"data","namespace":"NS"},"spec":{"accessModes":["ReadWriteOnce"],"storageClassName":"","resources":{"requests":{"storage":"1024Mi"}}}}
{"apiVersion":"admissionregistration.k8s.io/v1","kind":"ValidatingWebhookConfiguration","metadata":{"name":"NS"},"webhooks":[{"name":"never.example.com","admissionReviewVersions":["v1"],"sideEffects":"None","clientConfig":{"url":"https://127.0.0.1:1/"},"rules":[{"apiGroups":["NS.example.org"],"apiVersions":["v1"],"operations":["CREATE"],"resources":["none"]}]}]}
{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"merged","namespace":"NS","annotations":{"kustomize.toolkit.fluxcd.io/ssa":"Merge"}},"data":{"key":"1"}}
{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"seeded","namespace":"NS","annotations":{"kustomize.toolkit.fluxcd.io/ssa":"IfNotPresent"}},"data":{"key":"1"}}
{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"kept","namespace":"NS","annotations":{"kustomize.toolkit.fluxcd.io/prune":"disabled"}},"data":{"key":"1"}}
{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"edited","namespace":"NS"},"data":{"key":"1"}}
{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"older","namespace":"NS"},"data":{"key":"1"}}
{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"shared","namespace":"NS"},"data":{"key":"1"}}
`

// handedOver returns the objects for this test.
func (b *bundle) handedOver() []string {
	text := strings.ReplaceAll(handedOver, "\n\t", "")
	return strings.Split(strings.TrimSpace(strings.ReplaceAll(text, "NS", b.namespace)), "\n")
}

// underFluxBefore has Flux apply objects, people and others change some, and Flux undo of that what it does.
func (f *fluxOracle) underFluxBefore(objects []string) {
	f.Helper()
	f.createAs("kubectl-client-side-apply", "older")
	f.reconcile(objects...)
	f.patch(configMaps, "edited", "kubectl-edit", `{"data":{"key":"2","extra":"x"}}`)
	f.patch(configMaps, "merged", "kubectl-edit", `{"data":{"extra":"x"}}`)
	f.patch(configMaps, "seeded", "kubectl-edit", `{"data":{"key":"2"}}`)
	f.patch(configMaps, "shared", "someone", `{"data":{"theirs":"x"}}`)
	if err := f.apply(configMaps, "shared", "another", fmt.Sprintf(
		`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"shared","namespace":%q},"data":{"key":"1","applied":"x"}}`, f.namespace), false); err != nil {
		f.Fatal(err)
	}
	f.eventually("what the controllers set is set", func() error {
		for _, name := range []string{"web", "small"} {
			if f.get(deployments, name).GetAnnotations()["deployment.kubernetes.io/revision"] == "" {
				return fmt.Errorf("Deployment %s has no revision", name)
			}
		}
		return nil
	})
	f.reconcile(objects...)
	f.unchanged(f.reconcile(objects...))
}

// unchanged says that Flux found nothing to do.
func (f *fluxOracle) unchanged(actions map[string]ssa.Action) {
	f.Helper()
	for object, action := range actions {
		if action != ssa.UnchangedAction && action != ssa.SkippedAction {
			f.Errorf("Flux finds that %s is %s", object, action)
		}
	}
}

func TestFluxsObjectsAreTakenOverAndHandedBackWithoutAWrite(t *testing.T) {
	b := newBundle(t)
	flux := b.oracle()
	objects := b.handedOver()
	flux.underFluxBefore(objects)
	before := flux.live(objects...)
	flux.declare(true)
	same := func(when string) {
		t.Helper()
		for name, now := range flux.live(objects...) {
			if diff := cmp.Diff(before[name], now); diff != "" {
				t.Errorf("%s is another one %s: %s", name, when, diff)
			}
		}
	}

	b.start()
	target := b.deploy(objects...)
	same("after the take-over")
	b.delete(kustomizations, "app")
	target.Verify = true
	if err := b.try(target); err != nil {
		t.Fatal(err)
	}
	same("after a full pass")
	if applied := b.eventsOf("Applied"); len(applied) > 0 {
		t.Errorf("the App says that %v", applied)
	}
	if n := b.status().DriftCorrections; n != 0 {
		t.Errorf("%d corrections", n)
	}

	if !b.remove(fleet.Tombstone{}, fleet.Digest{}) {
		t.Error("it is not done")
	}
	flux.unchanged(flux.reconcile(objects...))
	same("after the hand-back")
	pruned := flux.reconcile(objects[:len(objects)-1]...)
	if action := pruned["ConfigMap/"+b.namespace+"/shared"]; action != ssa.DeletedAction || b.get(configMaps, "shared") != nil {
		t.Errorf("what left Git is %s", action)
	}
}
