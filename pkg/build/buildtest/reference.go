package buildtest

import "strings"

// podReferences are where the spec of a pod names other objects: kustomize follows these in the kinds that have pods, in
// most of them.
var podReferences = map[string][]string{
	"ConfigMap": {
		"volumes[]/configMap/name", "containers[]/env[]/valueFrom/configMapKeyRef/name", "initContainers[]/env[]/valueFrom/configMapKeyRef/name",
		"containers[]/envFrom[]/configMapRef/name", "initContainers[]/envFrom[]/configMapRef/name", "volumes[]/projected/sources[]/configMap/name",
	},
	"Secret": {
		"volumes[]/secret/secretName", "containers[]/env[]/valueFrom/secretKeyRef/name", "initContainers[]/env[]/valueFrom/secretKeyRef/name",
		"containers[]/envFrom[]/secretRef/name", "initContainers[]/envFrom[]/secretRef/name", "imagePullSecrets[]/name", "volumes[]/projected/sources[]/secret/name",
	},
	"ServiceAccount":        {"serviceAccountName"},
	"PersistentVolumeClaim": {"volumes[]/persistentVolumeClaim/claimName"},
	"PriorityClass":         {"priorityClassName"},
}

// reference is where a kind names another outside of pods.
type reference struct{ from, path, to string }

var references = []reference{
	{"HorizontalPodAutoscaler", "spec/scaleTargetRef/name", "Deployment"},
	{"HorizontalPodAutoscaler", "spec/scaleTargetRef/name", "ReplicationController"},
	{"HorizontalPodAutoscaler", "spec/scaleTargetRef/name", "ReplicaSet"},
	{"HorizontalPodAutoscaler", "spec/scaleTargetRef/name", "StatefulSet"},
	{"Node", "spec/configSource/configMap", "ConfigMap"},
	{"Role", "rules[]/resourceNames[]", "ConfigMap"},
	{"ClusterRole", "rules[]/resourceNames[]", "ConfigMap"},
	{"Role", "rules[]/resourceNames[]", "Secret"},
	{"ClusterRole", "rules[]/resourceNames[]", "Secret"},
	{"ClusterRole", "rules[]/resourceNames[]", "PersistentVolume"},
	{"Ingress", `metadata/annotations/nginx.ingress.kubernetes.io\/fastcgi-params-configmap`, "ConfigMap"},
	{"Ingress", `metadata/annotations/ingress.kubernetes.io\/auth-secret`, "Secret"},
	{"Ingress", `metadata/annotations/nginx.ingress.kubernetes.io\/auth-secret`, "Secret"},
	{"Ingress", `metadata/annotations/nginx.ingress.kubernetes.io\/auth-tls-secret`, "Secret"},
	{"Ingress", "spec/tls[]/secretName", "Secret"},
	{"ServiceAccount", "imagePullSecrets[]/name", "Secret"},
	{"StorageClass", "parameters/secretName", "Secret"},
	{"StorageClass", "parameters/adminSecretName", "Secret"},
	{"StorageClass", "parameters/userSecretName", "Secret"},
	{"StorageClass", "parameters/secretRef", "Secret"},
	{"PersistentVolume", "spec/azureFile/secretName", "Secret"},
	{"StatefulSet", "spec/serviceName", "Service"},
	{"Ingress", "spec/rules[]/http/paths[]/backend/serviceName", "Service"},
	{"Ingress", "spec/backend/serviceName", "Service"},
	{"Ingress", "spec/rules[]/http/paths[]/backend/service/name", "Service"},
	{"Ingress", "spec/defaultBackend/service/name", "Service"},
	{"APIService", "spec/service/name", "Service"},
	{"ValidatingWebhookConfiguration", "webhooks[]/clientConfig/service", "Service"},
	{"MutatingWebhookConfiguration", "webhooks[]/clientConfig/service", "Service"},
	{"RoleBinding", "roleRef/name", "Role"},
	{"RoleBinding", "roleRef/name", "ClusterRole"},
	{"ClusterRoleBinding", "roleRef/name", "ClusterRole"},
	{"RoleBinding", "subjects[]", "ServiceAccount"},
	{"ClusterRoleBinding", "subjects[]", "ServiceAccount"},
	{"PersistentVolumeClaim", "spec/volumeName", "PersistentVolume"},
	{"PersistentVolume", "spec/storageClassName", "StorageClass"},
	{"PersistentVolumeClaim", "spec/storageClassName", "StorageClass"},
	{"StatefulSet", "spec/volumeClaimTemplates[]/spec/storageClassName", "StorageClass"},
	{"Ingress", "spec/ingressClassName", "IngressClass"},
	{"ValidatingAdmissionPolicyBinding", "spec/policyName", "ValidatingAdmissionPolicy"},
}

// refer has the object name others, most of them there.
func (d *drawer) refer(o *object, others []*object) {
	targets := map[string][]*object{}
	for _, p := range others {
		if !p.gone && (!p.twice || d.shared || d.chance(3)) { // of two, kustomize cannot tell which is meant
			targets[p.kind.name] = append(targets[p.kind.name], p)
		}
	}
	for _, r := range referencesOf(o.kind) {
		known := targets[r.to]
		switch {
		case len(known) > 0 && d.chance(45):
			d.point(o, r, known[d.upTo(len(known))])
		case d.chance(3):
			d.point(o, r, &object{kind: kindNamed(r.to), label: d.pick("missing", "web", "default")})
		}
	}
}

func referencesOf(k *kind) []reference {
	var out []reference
	if k.pods != "" {
		for _, to := range []string{"ConfigMap", "Secret", "ServiceAccount", "PersistentVolumeClaim", "PriorityClass"} {
			for _, path := range podReferences[to] {
				out = append(out, reference{k.name, k.pods + "/" + path, to})
			}
		}
	}
	for _, r := range references {
		if r.from == k.name {
			out = append(out, r)
		}
	}
	return out
}

func (d *drawer) point(o *object, r reference, to *object) {
	namespace := to.namespace
	if namespace == "" || d.chance(10) {
		namespace = d.pick("default", "team")
	}
	switch {
	case r.path == "subjects[]":
		subject := fields{"kind": "ServiceAccount", "name": to.label}
		if d.chance(75) {
			subject["namespace"] = namespace
		}
		d.put(o.body, r.path, subject)
	case strings.HasSuffix(r.path, "clientConfig/service"):
		d.put(o.body, r.path, fields{"name": to.label, "namespace": namespace, "path": "/validate"})
	case r.path == "roleRef/name":
		d.put(o.body, "roleRef", fields{"apiGroup": "rbac.authorization.k8s.io", "kind": to.kind.name, "name": to.label})
	case r.from == "HorizontalPodAutoscaler":
		d.put(o.body, "spec/scaleTargetRef", fields{"apiVersion": to.apiVersion, "kind": to.kind.name, "name": to.label})
	case strings.HasSuffix(r.path, "KeyRef/name"):
		d.put(o.body, strings.TrimSuffix(r.path, "/name"), fields{"name": to.label, "key": d.pick("alpha", "password"), "optional": d.chance(50)})
	case strings.HasPrefix(r.from, "Ingress") && strings.Contains(r.path, "annotations"):
		d.put(o.body, r.path, d.pick("", namespace+"/")+to.label)
	default:
		d.put(o.body, r.path, to.label)
	}
}
