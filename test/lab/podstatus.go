package lab

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Annotations of Pods that the podlet heeds.
const (
	FailAnnotation = "demo/fail" // FailImage, FailCrash or FailSlow
	SlowAnnotation = "demo/slow" // a duration, such as 3s
	RunAnnotation  = "demo/run"  // any value

	FailImage = "image"
	FailCrash = "crash"
	FailSlow  = "slow"
)

const (
	// pullTime is how long the first pull of an image that is not there takes.
	pullTime = time.Second
	// runTime is how long a Pod that completes runs.
	runTime = 300 * time.Millisecond
	// slowTime is FailSlow's when no duration is given.
	slowTime = 10 * time.Second
	// The kubelet's back-off between restarts: doubled each time, up to a limit.
	firstBackOff, longestBackOff = 10 * time.Second, 5 * time.Minute
)

// podStatus is the status that a bound Pod has now, and when it will change by itself; 0 for never.
func podStatus(pod *corev1.Pod, now time.Time) (status corev1.PodStatus, after time.Duration) {
	status = *pod.Status.DeepCopy()
	if status.Phase == corev1.PodSucceeded || status.Phase == corev1.PodFailed {
		return status, 0
	}
	if status.StartTime == nil {
		status.StartTime = &metav1.Time{Time: now.Truncate(time.Second)}
	}
	status.PodIP = podIP(pod)
	status.PodIPs = []corev1.PodIP{{IP: status.PodIP}}
	status.HostIP = nodeIP
	status.HostIPs = []corev1.HostIP{{IP: nodeIP}}

	run := outcomeOf(pod, now.Sub(status.StartTime.Time))
	status.Phase = run.phase
	status.InitContainerStatuses = initStatuses(pod, *status.StartTime, run.pulled)
	status.ContainerStatuses = nil
	for _, container := range pod.Spec.Containers {
		one := run.container(container, *status.StartTime)
		status.ContainerStatuses = append(status.ContainerStatuses, one)
	}
	reason := ""
	if !run.ready {
		reason = "ContainersNotReady"
	}
	if run.phase == corev1.PodSucceeded {
		reason = "PodCompleted"
	}
	for kind, value := range map[corev1.PodConditionType]bool{
		corev1.PodScheduled: true, corev1.PodInitialized: run.pulled, corev1.ContainersReady: run.ready, corev1.PodReady: run.ready,
	} {
		setCondition(&status, kind, value, reason, now)
	}
	slices.SortFunc(status.Conditions, func(a, b corev1.PodCondition) int { return cmp.Compare(a.Type, b.Type) })
	return status, run.after
}

// outcome is what has become of a Pod's containers, all alike.
type outcome struct {
	phase     corev1.PodPhase
	ready     bool
	pulled    bool
	container func(c corev1.Container, started metav1.Time) corev1.ContainerStatus
	after     time.Duration
}

// outcomeOf decides by the annotations and the time since the start.
func outcomeOf(pod *corev1.Pod, elapsed time.Duration) outcome {
	completes := pod.Spec.RestartPolicy != corev1.RestartPolicyAlways && pod.Annotations[RunAnnotation] == ""
	fail := pod.Annotations[FailAnnotation]
	if fail == "" && pod.Annotations[SlowAnnotation] != "" {
		fail = FailSlow
	}
	switch {
	case fail == FailImage:
		return notPulled(pod, elapsed)
	case fail == FailCrash && pod.Spec.RestartPolicy == corev1.RestartPolicyNever:
		return outcome{phase: corev1.PodFailed, pulled: true, container: exited(1)}
	case fail == FailCrash:
		return crashing(pod, elapsed)
	case fail == FailSlow && elapsed < slowness(pod):
		return outcome{phase: corev1.PodRunning, pulled: true, container: running(false), after: slowness(pod) - elapsed}
	case completes && elapsed < runTime:
		return outcome{phase: corev1.PodRunning, pulled: true, ready: true, container: running(true), after: runTime - elapsed}
	case completes:
		return outcome{phase: corev1.PodSucceeded, pulled: true, container: exited(0)}
	}
	return outcome{phase: corev1.PodRunning, pulled: true, ready: true, container: running(true)}
}

func slowness(pod *corev1.Pod) time.Duration {
	if duration, err := time.ParseDuration(pod.Annotations[SlowAnnotation]); err == nil {
		return duration
	}
	return slowTime
}

// notPulled is first the failed pull, which is always shown, then the wait for the next.
func notPulled(pod *corev1.Pod, elapsed time.Duration) outcome {
	out := outcome{phase: corev1.PodPending}
	pulling := elapsed < pullTime || len(pod.Status.ContainerStatuses) == 0
	if pulling {
		out.after = max(pullTime-elapsed, pullTime/2)
	}
	out.container = func(c corev1.Container, _ metav1.Time) corev1.ContainerStatus {
		waiting := &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: fmt.Sprintf("Back-off pulling image %q", c.Image)}
		if pulling {
			waiting.Reason = "ErrImagePull"
			waiting.Message = fmt.Sprintf("rpc error: code = NotFound desc = failed to pull and unpack image %q: not found", c.Image)
		}
		return containerStatus(c, false, corev1.ContainerState{Waiting: waiting})
	}
	return out
}

// crashing counts the restarts that the kubelet would have made by now.
func crashing(pod *corev1.Pod, elapsed time.Duration) outcome {
	restarts, backOff := int32(1), firstBackOff
	next := backOff
	for next <= elapsed {
		restarts++
		backOff = min(2*backOff, longestBackOff)
		next += backOff
	}
	return outcome{
		phase: corev1.PodRunning, pulled: true, after: next - elapsed,
		container: func(c corev1.Container, started metav1.Time) corev1.ContainerStatus {
			last := metav1.NewTime(started.Add(next - backOff))
			status := containerStatus(c, false, corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{
				Reason: "CrashLoopBackOff",
				Message: fmt.Sprintf("back-off %s restarting failed container=%s pod=%s_%s(%s)",
					backOff, c.Name, pod.Name, pod.Namespace, pod.UID),
			}})
			status.RestartCount = restarts
			status.ContainerID = containerID(c)
			status.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{
				ExitCode: 1, Reason: "Error", StartedAt: last, FinishedAt: last, ContainerID: containerID(c),
			}
			return status
		},
	}
}

func running(ready bool) func(corev1.Container, metav1.Time) corev1.ContainerStatus {
	return func(c corev1.Container, started metav1.Time) corev1.ContainerStatus {
		status := containerStatus(c, ready, corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: started}})
		status.Started = new(true)
		status.ContainerID = containerID(c)
		return status
	}
}

func exited(code int32) func(corev1.Container, metav1.Time) corev1.ContainerStatus {
	return func(c corev1.Container, started metav1.Time) corev1.ContainerStatus {
		reason := "Completed"
		if code != 0 {
			reason = "Error"
		}
		status := containerStatus(c, false, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: code, Reason: reason, StartedAt: started, FinishedAt: started, ContainerID: containerID(c),
		}})
		status.ContainerID = containerID(c)
		return status
	}
}

// initStatuses has init containers done, and those that stay beside the others running.
func initStatuses(pod *corev1.Pod, started metav1.Time, pulled bool) []corev1.ContainerStatus {
	var statuses []corev1.ContainerStatus
	for _, container := range pod.Spec.InitContainers {
		if !pulled {
			statuses = append(statuses, containerStatus(container, false, corev1.ContainerState{
				Waiting: &corev1.ContainerStateWaiting{Reason: "PodInitializing"}}))
			continue
		}
		state := exited(0)
		if policy := container.RestartPolicy; policy != nil && *policy == corev1.ContainerRestartPolicyAlways {
			state = running(true)
		}
		status := state(container, started)
		status.Ready = true
		statuses = append(statuses, status)
	}
	return statuses
}

func containerStatus(c corev1.Container, ready bool, state corev1.ContainerState) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: c.Name, Image: c.Image, Ready: ready, Started: new(false), State: state}
}

func containerID(c corev1.Container) string { return "podlet://" + c.Name }

// setCondition keeps the time of the last transition while the value stays.
func setCondition(status *corev1.PodStatus, kind corev1.PodConditionType, value bool, reason string, now time.Time) {
	want := corev1.PodCondition{Type: kind, Status: corev1.ConditionFalse, Reason: reason, LastTransitionTime: metav1.NewTime(now.Truncate(time.Second))}
	if value {
		want.Status, want.Reason = corev1.ConditionTrue, ""
	}
	for i, have := range status.Conditions {
		if have.Type == kind {
			if have.Status != want.Status || have.Reason != want.Reason {
				status.Conditions[i] = want
			}
			return
		}
	}
	status.Conditions = append(status.Conditions, want)
}

// podIP is an address that no other Pod is likely to have.
func podIP(pod *corev1.Pod) string {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(pod.UID))
	sum := hash.Sum32()
	return fmt.Sprintf("10.%d.%d.%d", sum>>16&0xff, sum>>8&0xff, sum&0xff)
}
