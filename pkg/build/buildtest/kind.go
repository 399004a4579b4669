package buildtest

// kind is a kind of object: what its objects have besides metadata.
type kind struct {
	apiVersion, name string
	// cluster objects are in no namespace.
	cluster bool
	// pods is the path of its pods' spec, where it has pods.
	pods string
	// weight is how often there is one.
	weight int
	fill   func(d *drawer, o *object)
}

var kinds = []kind{
	{"apps/v1", "Deployment", false, "spec/template/spec", 9, workload},
	{"apps/v1", "StatefulSet", false, "spec/template/spec", 4, statefulSet},
	{"apps/v1", "DaemonSet", false, "spec/template/spec", 2, workload},
	{"apps/v1", "ReplicaSet", false, "spec/template/spec", 1, workload},
	{"v1", "ReplicationController", false, "spec/template/spec", 1, workload},
	{"batch/v1", "Job", false, "spec/template/spec", 2, job},
	{"batch/v1", "CronJob", false, "spec/jobTemplate/spec/template/spec", 2, cronJob},
	{"v1", "Pod", false, "spec", 2, pod},
	{"v1", "PodTemplate", false, "template/spec", 1, pod},
	{"serving.knative.dev/v1", "Service", false, "spec/template/spec", 1, pod},
	{"v1", "ConfigMap", false, "", 9, configMap},
	{"v1", "Secret", false, "", 4, secret},
	{"v1", "Service", false, "", 6, service},
	{"v1", "ServiceAccount", false, "", 3, nil},
	{"rbac.authorization.k8s.io/v1", "Role", false, "", 2, role},
	{"rbac.authorization.k8s.io/v1", "ClusterRole", true, "", 2, role},
	{"rbac.authorization.k8s.io/v1", "RoleBinding", false, "", 3, binding},
	{"rbac.authorization.k8s.io/v1", "ClusterRoleBinding", true, "", 2, binding},
	{"v1", "PersistentVolumeClaim", false, "", 2, claim},
	{"v1", "PersistentVolume", true, "", 1, claim},
	{"storage.k8s.io/v1", "StorageClass", true, "", 1, nil},
	{"scheduling.k8s.io/v1", "PriorityClass", true, "", 1, set("value", 100)},
	{"autoscaling/v2", "HorizontalPodAutoscaler", false, "", 2, autoscaler},
	{"networking.k8s.io/v1", "Ingress", false, "", 2, ingress},
	{"extensions/v1beta1", "Ingress", false, "", 1, ingress},
	{"networking.k8s.io/v1", "IngressClass", true, "", 1, set("spec/controller", "example.com/ingress")},
	{"networking.k8s.io/v1", "NetworkPolicy", false, "", 1, networkPolicy},
	{"policy/v1", "PodDisruptionBudget", false, "", 1, disruptionBudget},
	{"apiregistration.k8s.io/v1", "APIService", true, "", 1, set("spec/service/port", 443)},
	{"admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", true, "", 1, webhook},
	{"admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", true, "", 1, webhook},
	{"admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", true, "", 1, set("spec/failurePolicy", "Fail")},
	{"admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding", true, "", 1, set("spec/validationActions[]", "Deny")},
	{"apiextensions.k8s.io/v1", "CustomResourceDefinition", true, "", 1, definition},
	{"v1", "Namespace", true, "", 1, nil},
	{"v1", "Node", true, "", 1, nil},
	{"v1", "ResourceQuota", false, "", 1, set("spec/hard/pods", "10")},
	{"example.com/v1", "Widget", false, "", 5, custom},
	{"example.com/v1alpha1", "Widget", false, "", 1, custom},
	{"example.com/v1", "ClusterWidget", true, "", 1, custom},
}

var totalWeight = func() (sum int) {
	for _, k := range kinds {
		sum += k.weight
	}
	return sum
}()

func (d *drawer) kind() *kind {
	if d.shared {
		return d.namedApart()
	}
	at := d.upTo(totalWeight)
	for i := range kinds {
		if at -= kinds[i].weight; at < 0 {
			return &kinds[i]
		}
	}
	return &kinds[0]
}

// namedApart is a kind whose objects a prefix tells apart: kustomize leaves the names of some kinds as they are.
func (d *drawer) namedApart() *kind {
	for {
		k := &kinds[d.upTo(len(kinds))]
		if k.name != "Namespace" && k.name != "APIService" && k.name != "CustomResourceDefinition" {
			return k
		}
	}
}

func kindNamed(name string) *kind {
	for i := range kinds {
		if kinds[i].name == name {
			return &kinds[i]
		}
	}
	panic("no kind " + name)
}

// set fills objects with one value.
func set(path string, value any) func(*drawer, *object) {
	return func(d *drawer, o *object) { d.put(o.body, path, value) }
}
