package health

import (
	"strings"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"flotilla.dev/flotilla/pkg/expr"
	"flotilla.dev/flotilla/pkg/fleet"
)

// The states of an object, in kstatus' words.
const (
	Current     = string(status.CurrentStatus)
	InProgress  = string(status.InProgressStatus)
	Failed      = string(status.FailedStatus)
	Terminating = string(status.TerminatingStatus)
	NotFound    = string(status.NotFoundStatus)
)

// maxMessage bounds what is told of an object: conditions can hold anything.
const maxMessage = 500

// Evaluate returns an object's state and what to tell about it: by the App's expressions where there are any for its
// kind, else by kstatus.
func Evaluate(object *unstructured.Unstructured, by *expr.Health) (state, message string) {
	if ref := refOf(object); by.Judges(ref) && object.GetDeletionTimestamp() == nil {
		judged, message := by.Evaluate(ref, object.Object)
		return string(judged), shorten(message)
	}
	result, err := status.Compute(object)
	if err != nil {
		return InProgress, shorten("its status cannot be read: " + err.Error())
	}
	state, message = string(result.Status), result.Message
	if state == Current && isJob(object) && !jobComplete(object) {
		state = InProgress // kstatus takes a running Job for current
	}
	if why := replicaFailure(object); why != "" && state != Current {
		message = why
	}
	return state, shorten(message)
}

// Stateless reports whether an object of that kind is healthy by being there, so that it never has to be read.
func Stateless(ref fleet.ObjectRef) bool {
	switch ref.Group {
	case "":
		switch ref.Kind {
		case "ConfigMap", "Secret", "ServiceAccount", "LimitRange", "Endpoints", "PodTemplate",
			// A Service has its address as soon as it exists; kstatus asks nothing more of the others' status.
			"Service", "Namespace", "ResourceQuota", "PersistentVolume":
			return true
		}
	case "autoscaling":
		return ref.Kind == "HorizontalPodAutoscaler"
	case "apps":
		return ref.Kind == "ControllerRevision"
	case "batch":
		return ref.Kind == "CronJob"
	case "networking.k8s.io":
		return ref.Kind == "Ingress" || ref.Kind == "IngressClass" || ref.Kind == "NetworkPolicy"
	case "rbac.authorization.k8s.io", "scheduling.k8s.io", "node.k8s.io", "discovery.k8s.io", "coordination.k8s.io":
		return true
	case "storage.k8s.io":
		return ref.Kind == "StorageClass" || ref.Kind == "CSIDriver"
	case "admissionregistration.k8s.io":
		return strings.HasSuffix(ref.Kind, "WebhookConfiguration")
	}
	return false
}

func refOf(object *unstructured.Unstructured) fleet.ObjectRef {
	gvk := object.GroupVersionKind()
	return fleet.ObjectRef{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind, Namespace: object.GetNamespace(), Name: object.GetName()}
}

func isJob(object *unstructured.Unstructured) bool {
	return object.GetKind() == "Job" && object.GroupVersionKind().Group == "batch"
}

func jobComplete(job *unstructured.Unstructured) bool {
	return condition(job, "Complete") != nil || condition(job, "SuccessCriteriaMet") != nil
}

// replicaFailure is why a workload's controller cannot even make Pods: a quota, an admission policy.
func replicaFailure(object *unstructured.Unstructured) string {
	failure := condition(object, "ReplicaFailure")
	if failure == nil {
		return ""
	}
	reason, _ := failure["reason"].(string)
	message, _ := failure["message"].(string)
	return reason + ": " + message
}

// condition returns the condition of that type if its status is True.
func condition(object *unstructured.Unstructured, kind string) map[string]any {
	conditions, _, err := unstructured.NestedSlice(object.Object, "status", "conditions")
	if err != nil {
		return nil
	}
	for _, item := range conditions {
		if c, isMap := item.(map[string]any); isMap && c["type"] == kind && c["status"] == "True" {
			return c
		}
	}
	return nil
}

func shorten(message string) string {
	if len(message) > maxMessage {
		return strings.ToValidUTF8(message[:maxMessage], "") + "..."
	}
	return message
}
