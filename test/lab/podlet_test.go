package lab_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"flotilla.dev/flotilla/test/lab"
)

// patience is for a machine that runs other things too.
const patience = time.Minute

func TestDeploymentBecomesAvailable(t *testing.T) {
	t.Parallel()
	client, namespace := fresh(t)
	create(t, client, deployment(namespace, 3, nil))

	lab.Eventually(t, patience, "the Deployment is available", func() error {
		return available(t, client, namespace, 3)
	})
}

func TestFailingPodsGiveTheReason(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fail, reason, message string
		restarts              int32
		terminated            bool
	}{
		"image": {fail: lab.FailImage, reason: "ImagePullBackOff", message: `Back-off pulling image "app:1"`},
		"crash": {fail: lab.FailCrash, reason: "CrashLoopBackOff", restarts: 1, terminated: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, namespace := fresh(t)
			create(t, client, deployment(namespace, 1, map[string]string{lab.FailAnnotation: test.fail}))

			lab.Eventually(t, patience, "the container waits for "+test.reason, func() error {
				status, err := container(t, client, namespace)
				if err != nil {
					return err
				}
				if status.State.Waiting == nil || status.State.Waiting.Reason != test.reason {
					return fmt.Errorf("state is %s", status.State.String())
				}
				if message := status.State.Waiting.Message; test.message != "" && message != test.message {
					t.Errorf("message = %s, want %s", message, test.message)
				}
				if status.RestartCount < test.restarts {
					t.Errorf("restarts = %d, want at least %d", status.RestartCount, test.restarts)
				}
				if last := status.LastTerminationState.Terminated; test.terminated && (last == nil || last.ExitCode != 1) {
					t.Errorf("last termination = %v, want exit code 1", last)
				}
				return nil
			})
			if err := available(t, client, namespace, 1); err == nil {
				t.Error("the Deployment is available")
			}
		})
	}
}

func TestSlowPodBecomesReadyLater(t *testing.T) {
	t.Parallel()
	client, namespace := fresh(t)
	create(t, client, deployment(namespace, 1, map[string]string{lab.FailAnnotation: lab.FailSlow, lab.SlowAnnotation: "3s"}))

	lab.Eventually(t, patience, "the container runs unready", func() error {
		status, err := container(t, client, namespace)
		if err == nil && (status.State.Running == nil || status.Ready) {
			err = fmt.Errorf("ready is %t, state %s", status.Ready, status.State.String())
		}
		return err
	})
	lab.Eventually(t, patience, "the Deployment is available", func() error {
		return available(t, client, namespace, 1)
	})
}

func TestJobCompletes(t *testing.T) {
	t.Parallel()
	client, namespace := fresh(t)
	template := podTemplate(nil)
	template.Spec.RestartPolicy = corev1.RestartPolicyNever
	_, err := client.BatchV1().Jobs(namespace).Create(t.Context(), &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "app"},
		Spec:       batchv1.JobSpec{Template: template},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}

	lab.Eventually(t, patience, "the Job is complete", func() error {
		job, err := client.BatchV1().Jobs(namespace).Get(t.Context(), "app", metav1.GetOptions{})
		if err == nil && job.Status.Succeeded != 1 {
			err = fmt.Errorf("status is %s", job.Status.String())
		}
		return err
	})
}

func TestStatefulAndDaemonSetsBecomeReady(t *testing.T) {
	t.Parallel()
	client, namespace := fresh(t)
	apps := client.AppsV1()
	_, err := apps.StatefulSets(namespace).Create(t.Context(), &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: "app"},
		Spec: appsv1.StatefulSetSpec{
			Replicas: new(int32(2)), Selector: selector, Template: podTemplate(nil),
			VolumeClaimTemplates: []corev1.PersistentVolumeClaim{{
				ObjectMeta: metav1.ObjectMeta{Name: "data"},
				Spec: corev1.PersistentVolumeClaimSpec{
					AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
					Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
				},
			}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = apps.DaemonSets(namespace).Create(t.Context(), &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: "app"},
		Spec:       appsv1.DaemonSetSpec{Selector: selector, Template: podTemplate(nil)},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}

	lab.Eventually(t, patience, "both sets are ready and the claim bound", func() error {
		stateful, err := apps.StatefulSets(namespace).Get(t.Context(), "app", metav1.GetOptions{})
		if err != nil || stateful.Status.AvailableReplicas != 2 {
			return errors.Join(err, fmt.Errorf("StatefulSet is %s", stateful.Status.String()))
		}
		daemon, err := apps.DaemonSets(namespace).Get(t.Context(), "app", metav1.GetOptions{})
		if err != nil || daemon.Status.NumberAvailable != 1 {
			return errors.Join(err, fmt.Errorf("DaemonSet is %s", daemon.Status.String()))
		}
		claim, err := client.CoreV1().PersistentVolumeClaims(namespace).Get(t.Context(), "data-app-0", metav1.GetOptions{})
		if err != nil || claim.Status.Phase != corev1.ClaimBound {
			return errors.Join(err, fmt.Errorf("claim is %s", claim.Status.Phase))
		}
		return nil
	})
}

func TestDeletedDeploymentTakesItsPodsAlong(t *testing.T) {
	t.Parallel()
	client, namespace := fresh(t)
	create(t, client, deployment(namespace, 2, nil))
	lab.Eventually(t, patience, "the Deployment is available", func() error {
		return available(t, client, namespace, 2)
	})
	policy := metav1.DeletePropagationBackground
	err := client.AppsV1().Deployments(namespace).Delete(t.Context(), "app", metav1.DeleteOptions{PropagationPolicy: &policy})
	if err != nil {
		t.Fatal(err)
	}

	lab.Eventually(t, patience, "no Pod is left", func() error {
		pods, err := client.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{})
		if err == nil && len(pods.Items) > 0 {
			err = fmt.Errorf("%d are left", len(pods.Items))
		}
		return err
	})
}

func TestDeletedNamespaceGoes(t *testing.T) {
	t.Parallel()
	client, namespace := fresh(t)
	create(t, client, deployment(namespace, 2, nil))
	lab.Eventually(t, patience, "the Deployment is available", func() error {
		return available(t, client, namespace, 2)
	})
	if err := client.CoreV1().Namespaces().Delete(t.Context(), namespace, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}

	lab.Eventually(t, patience, "the namespace is gone", func() error {
		got, err := client.CoreV1().Namespaces().Get(t.Context(), namespace, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(err, fmt.Errorf("it is %s", got.Status.String()))
	})
}

// fresh is a client of the shared cluster and a namespace of the test's own.
func fresh(t *testing.T) (kubernetes.Interface, string) {
	t.Helper()
	cluster := lab.TestCluster(t)
	client, err := kubernetes.NewForConfig(cluster.REST())
	if err != nil {
		t.Fatal(err)
	}
	return client, lab.TestNamespace(t, cluster)
}

var selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "app"}}

func podTemplate(annotations map[string]string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: selector.MatchLabels, Annotations: annotations},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app:1"}}},
	}
}

func deployment(namespace string, replicas int32, annotations map[string]string) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "app"},
		Spec:       appsv1.DeploymentSpec{Replicas: &replicas, Selector: selector, Template: podTemplate(annotations)},
	}
}

func create(t *testing.T, client kubernetes.Interface, d *appsv1.Deployment) {
	t.Helper()
	if _, err := client.AppsV1().Deployments(d.Namespace).Create(t.Context(), d, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func available(t *testing.T, client kubernetes.Interface, namespace string, replicas int32) error {
	d, err := client.AppsV1().Deployments(namespace).Get(t.Context(), "app", metav1.GetOptions{})
	if err == nil && d.Status.AvailableReplicas != replicas {
		err = fmt.Errorf("%d of %d replicas are available", d.Status.AvailableReplicas, replicas)
	}
	return err
}

// container is the status of the one container of the namespace's one Pod.
func container(t *testing.T, client kubernetes.Interface, namespace string) (corev1.ContainerStatus, error) {
	pods, err := client.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		return corev1.ContainerStatus{}, err
	}
	if len(pods.Items) != 1 || len(pods.Items[0].Status.ContainerStatuses) != 1 {
		return corev1.ContainerStatus{}, errors.New("no Pod with a container's status yet")
	}
	return pods.Items[0].Status.ContainerStatuses[0], nil
}
