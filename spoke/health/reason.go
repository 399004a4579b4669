package health

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Reason says why Pods are not ready: the first reason for which a container waits or has ended, of the newest Pod
// that has one, as in "ImagePullBackOff: container app of Pod web-1: Back-off pulling image". Empty: no Pod says.
func Reason(pods []*corev1.Pod) string {
	newestFirst := slices.Clone(pods)
	slices.SortStableFunc(newestFirst, func(a, b *corev1.Pod) int {
		return cmp.Or(b.CreationTimestamp.Compare(a.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	ordinary := ""
	for _, pod := range newestFirst {
		reason, isOrdinary := podReason(pod)
		switch {
		case reason == "":
		case !isOrdinary:
			return shorten(reason)
		case ordinary == "":
			ordinary = reason
		}
	}
	return shorten(ordinary)
}

// podReason also says whether every Pod passes through that state.
func podReason(pod *corev1.Pod) (reason string, ordinary bool) {
	waits := ""
	for _, container := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		switch state := container.State; {
		case state.Waiting != nil && state.Waiting.Reason != "":
			text := describe(state.Waiting.Reason, container.Name, pod.Name, state.Waiting.Message)
			if state.Waiting.Reason != "ContainerCreating" && state.Waiting.Reason != "PodInitializing" {
				return text, false
			}
			if waits == "" {
				waits = text
			}
		case state.Terminated != nil && state.Terminated.ExitCode != 0:
			reason := state.Terminated.Reason
			if reason == "" {
				reason = "Error"
			}
			return describe(reason, container.Name, pod.Name, fmt.Sprintf("exit code %d", state.Terminated.ExitCode)), false
		}
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason != "" {
			return fmt.Sprintf("%s: Pod %s: %s", c.Reason, pod.Name, c.Message), false
		}
	}
	if pod.Status.Phase == corev1.PodFailed && pod.Status.Reason != "" {
		return fmt.Sprintf("%s: Pod %s: %s", pod.Status.Reason, pod.Name, pod.Status.Message), false
	}
	return waits, true
}

func describe(reason, container, pod, message string) string {
	text := fmt.Sprintf("%s: container %s of Pod %s", reason, container, pod)
	if message != "" {
		text += ": " + message
	}
	return text
}

// Selector returns the label selector of a workload's Pods; empty: the object has none.
func Selector(ref fleet.ObjectRef, object *unstructured.Unstructured) string {
	if ref.Group != "apps" && ref.Group != "batch" {
		return ""
	}
	raw, found, err := unstructured.NestedMap(object.Object, "spec", "selector")
	if err != nil || !found {
		return ""
	}
	var selector metav1.LabelSelector
	if err := fromUnstructured(raw, &selector); err != nil {
		return ""
	}
	s, err := metav1.LabelSelectorAsSelector(&selector)
	if err != nil || s.Empty() {
		return "" // an empty selector would be every Pod of the namespace
	}
	return s.String()
}
