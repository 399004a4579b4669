package health_test

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"flotilla.dev/flotilla/spoke/health"
)

func TestEvaluate(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, object, state, message string
	}{
		{name: "a Job that runs", object: `{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"j"},"status":{"startTime":"x","active":1}}`, state: health.InProgress},
		{name: "a Job that has completed", object: `{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"j"},"status":{"conditions":[{"type":"Complete","status":"True"}]}}`, state: health.Current},
		{name: "a Job that has failed", object: `{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"j"},"status":{"conditions":[{"type":"Failed","status":"True"}]}}`, state: health.Failed},
		{
			name:   "a generation that was not observed",
			object: `{"apiVersion":"x.io/v1","kind":"W","metadata":{"name":"w","generation":2},"status":{"observedGeneration":1,"conditions":[{"type":"Ready","status":"True"}]}}`,
			state:  health.InProgress,
		},
		{name: "an object that is being deleted", object: `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c","deletionTimestamp":"2026-01-01T00:00:00Z"}}`, state: health.Terminating},
		{
			name: "a workload whose Pods cannot be made",
			object: `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d"},"spec":{"replicas":1},
				"status":{"conditions":[{"type":"ReplicaFailure","status":"True","reason":"FailedCreate","message":"exceeded quota"}]}}`,
			state: health.InProgress, message: "FailedCreate: exceeded quota",
		},
		{name: "a status that makes no sense", object: `{"apiVersion":"x.io/v1","kind":"W","metadata":{"name":"w","generation":1},"status":{"observedGeneration":"x"}}`, state: health.InProgress},
	} {
		t.Run(test.name, func(t *testing.T) {
			u := &unstructured.Unstructured{}
			if err := u.UnmarshalJSON([]byte(test.object)); err != nil {
				t.Fatal(err)
			}
			if state, message := health.Evaluate(u, nil); state != test.state || !strings.Contains(message, test.message) {
				t.Errorf("it is %s: %s", state, message)
			}
		})
	}
}

func TestReason(t *testing.T) {
	t.Parallel()
	pod := func(name string, age time.Duration, states ...corev1.ContainerState) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(time.Unix(10_000, 0).Add(-age))}}
		for _, state := range states {
			p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{Name: "main", State: state})
		}
		return p
	}
	waiting := func(reason string) corev1.ContainerState {
		return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: "why"}}
	}
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	unschedulable := pod("u", 0)
	unschedulable.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/3 nodes"}}
	for _, test := range []struct {
		name string
		pods []*corev1.Pod
		want string
	}{
		{name: "no Pods", want: ""},
		{name: "all run", pods: []*corev1.Pod{pod("a", 0, running)}, want: ""},
		{name: "one waits", pods: []*corev1.Pod{pod("a", 0, running), pod("b", time.Hour, running, waiting("ImagePullBackOff"))}, want: "ImagePullBackOff: container main of Pod b: why"},
		{name: "the newest counts", pods: []*corev1.Pod{pod("old", time.Hour, waiting("CrashLoopBackOff")), pod("new", 0, waiting("ErrImagePull"))}, want: "ErrImagePull"},
		{name: "a real reason counts more than a beginning", pods: []*corev1.Pod{pod("new", 0, waiting("ContainerCreating")), pod("old", time.Hour, waiting("CrashLoopBackOff"))}, want: "CrashLoopBackOff"},
		{name: "a beginning is better than nothing", pods: []*corev1.Pod{pod("new", 0, waiting("ContainerCreating"))}, want: "ContainerCreating"},
		{name: "one has ended", pods: []*corev1.Pod{pod("a", 0, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "OOMKilled", ExitCode: 137}})}, want: "OOMKilled: container main of Pod a: exit code 137"},
		{name: "one has completed", pods: []*corev1.Pod{pod("a", 0, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Completed"}})}, want: ""},
		{name: "no node", pods: []*corev1.Pod{unschedulable}, want: "Unschedulable: Pod u: 0/3 nodes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := health.Reason(test.pods); !strings.HasPrefix(got, test.want) || (test.want == "") != (got == "") {
				t.Errorf("it is %q", got)
			}
		})
	}
}
