package apply

import (
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	kjson "sigs.k8s.io/json"

	"flotilla.dev/flotilla/pkg/fleet"
)

// normalized returns the content of a built-in kind's object as Flux sends it (fluxcd/pkg/ssa, normalize): read into the
// Go type and written again, which drops nulls and zero values, and adds empty structures and default protocols. What is
// sent is what is owned; sent otherwise, an object could not change hands without a write to its managedFields.
//
// Content that does not fit the Go type stays as it is: the API server knows a field that is newer than the type, or
// refuses it by name, where Flux leaves it out without a word. So does that of a Role or ClusterRole, as with Flux.
func normalized(ref fleet.ObjectRef, content []byte) ([]byte, error) {
	kind := schema.GroupVersionKind{Group: ref.Group, Version: ref.Version, Kind: ref.Kind}
	role := ref.APIVersion() == "rbac.authorization.k8s.io/v1" && (ref.Kind == "Role" || ref.Kind == "ClusterRole")
	if role || !scheme.Scheme.Recognizes(kind) {
		return content, nil
	}
	typed, err := scheme.Scheme.New(kind)
	if err != nil {
		return nil, err
	}
	if unknown, err := kjson.UnmarshalStrict(content, typed); err != nil || len(unknown) > 0 {
		return content, nil
	}
	switch o := typed.(type) {
	case *corev1.Pod:
		nameProtocols(&o.Spec)
	case *appsv1.Deployment:
		nameProtocols(&o.Spec.Template.Spec)
	case *appsv1.StatefulSet:
		nameProtocols(&o.Spec.Template.Spec)
	case *appsv1.DaemonSet:
		nameProtocols(&o.Spec.Template.Spec)
	case *appsv1.ReplicaSet:
		nameProtocols(&o.Spec.Template.Spec)
	case *batchv1.Job:
		nameProtocols(&o.Spec.Template.Spec)
	case *batchv1.CronJob:
		nameProtocols(&o.Spec.JobTemplate.Spec.Template.Spec)
	case *corev1.Service:
		for i := range o.Spec.Ports {
			orTCP(&o.Spec.Ports[i].Protocol)
		}
	}
	return marshal(typed)
}

// nameProtocols says which protocol a container's ports have: it is a part of a port's key. As in Flux, those of init
// containers stay as they are.
func nameProtocols(pod *corev1.PodSpec) {
	for i := range pod.Containers {
		for j := range pod.Containers[i].Ports {
			orTCP(&pod.Containers[i].Ports[j].Protocol)
		}
	}
}

func orTCP(protocol *corev1.Protocol) {
	if *protocol == "" {
		*protocol = corev1.ProtocolTCP
	}
}
