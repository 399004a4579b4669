package lab

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

// RunPodlet plays scheduler and kubelet for a cluster that has neither, until the context ends: it binds each Pod to a
// node that it makes up, writes the status that a running Pod has, completes Pods that are to run once, removes
// deleted ones, and binds PersistentVolumeClaims. Nothing runs.
//
// Annotations of a Pod make it fail, as long as they are there:
//
//	demo/fail: image    the image cannot be pulled: ErrImagePull, then ImagePullBackOff
//	demo/fail: crash    the containers exit with 1, again and again: CrashLoopBackOff
//	demo/fail: slow     ready only after the duration in demo/slow, 10s when absent
//	demo/run: "true"    a Pod that would complete goes on running
//
// A nil log drops messages.
func RunPodlet(ctx context.Context, config *rest.Config, log *slog.Logger) error {
	config = rest.CopyConfig(config)
	config.QPS = -1
	config.ContentType = runtime.ContentTypeProtobuf
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("podlet: %w", err)
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	defer factory.Shutdown()
	p := &podlet{
		client: client,
		log:    cmp.Or(log, slog.New(slog.DiscardHandler)),
		pods:   factory.Core().V1().Pods().Lister(),
		claims: factory.Core().V1().PersistentVolumeClaims().Lister(),
		queue: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[podletKey](50*time.Millisecond, 2*time.Second)),
	}
	for kind, informer := range map[string]cache.SharedIndexInformer{
		podKind:   factory.Core().V1().Pods().Informer(),
		claimKind: factory.Core().V1().PersistentVolumeClaims().Informer(),
	} {
		if err := p.follow(kind, informer); err != nil {
			return fmt.Errorf("podlet: %w", err)
		}
	}
	factory.StartWithContext(ctx)

	var tasks sync.WaitGroup
	defer tasks.Wait()
	// Last deferred, first run: the workers end with the queue.
	defer p.queue.ShutDown()
	tasks.Go(func() { p.keepNode(ctx) })
	for range podletWorkers {
		tasks.Go(func() {
			for p.next(ctx) {
			}
		})
	}
	<-ctx.Done()
	return nil
}

const (
	podletWorkers = 8

	podKind   = "Pod"
	claimKind = "PersistentVolumeClaim"
)

type podlet struct {
	client kubernetes.Interface
	log    *slog.Logger
	pods   corelisters.PodLister
	claims corelisters.PersistentVolumeClaimLister
	queue  workqueue.TypedRateLimitingInterface[podletKey]
}

type podletKey struct{ kind, namespace, name string }

// follow queues every object of a kind that comes or changes.
func (p *podlet) follow(kind string, informer cache.SharedIndexInformer) error {
	// An API server that is away is what some tests are about.
	err := informer.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) {
		p.log.Debug("watch ended", "kind", kind, "err", err)
	})
	if err != nil {
		return err
	}
	add := func(obj any) {
		if object, ok := obj.(metav1.Object); ok {
			p.queue.Add(podletKey{kind, object.GetNamespace(), object.GetName()})
		}
	}
	_, err = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    add,
		UpdateFunc: func(_, obj any) { add(obj) },
	})
	return err
}

// next handles one object; false when there are no more.
func (p *podlet) next(ctx context.Context) bool {
	key, shutdown := p.queue.Get()
	if shutdown {
		return false
	}
	defer p.queue.Done(key)
	after, err := p.handle(ctx, key)
	switch {
	case err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err):
		p.log.Debug("retrying", "kind", key.kind, "namespace", key.namespace, "name", key.name, "err", err)
		p.queue.AddRateLimited(key)
	case after > 0:
		p.queue.Forget(key)
		p.queue.AddAfter(key, after)
	default: // a conflict means that a newer one is on its way here
		p.queue.Forget(key)
	}
	return true
}

// handle does the next thing for one object, and says when to look again without a change; 0 for never.
func (p *podlet) handle(ctx context.Context, key podletKey) (after time.Duration, err error) {
	if key.kind == claimKind {
		claim, err := p.claims.PersistentVolumeClaims(key.namespace).Get(key.name)
		if err != nil {
			return 0, err
		}
		return 0, p.bindClaim(ctx, claim)
	}
	pod, err := p.pods.Pods(key.namespace).Get(key.name)
	if err != nil {
		return 0, err
	}
	switch {
	case pod.DeletionTimestamp != nil && pod.Spec.NodeName == nodeName:
		return 0, p.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
			GracePeriodSeconds: new(int64),
			Preconditions:      metav1.NewUIDPreconditions(string(pod.UID)),
		})
	case pod.DeletionTimestamp != nil:
		return 0, nil
	case pod.Spec.NodeName == "":
		return 0, p.bindPod(ctx, pod)
	case pod.Spec.NodeName != nodeName:
		return 0, nil
	}
	status, after := podStatus(pod, time.Now())
	if equality.Semantic.DeepEqual(status, pod.Status) {
		return after, nil
	}
	pod = pod.DeepCopy()
	pod.Status = status
	_, err = p.client.CoreV1().Pods(pod.Namespace).UpdateStatus(ctx, pod, metav1.UpdateOptions{})
	return after, err
}

func (p *podlet) bindPod(ctx context.Context, pod *corev1.Pod) error {
	if len(pod.Spec.SchedulingGates) > 0 {
		return nil
	}
	if !labels.SelectorFromSet(pod.Spec.NodeSelector).Matches(labels.Set(nodeLabels)) {
		return nil // pending, as on a cluster without such a node
	}
	return p.client.CoreV1().Pods(pod.Namespace).Bind(ctx, &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
		Target:     corev1.ObjectReference{Kind: "Node", Name: nodeName},
	}, metav1.CreateOptions{})
}

// bindClaim says that storage is there. The volume it names is not.
func (p *podlet) bindClaim(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	if claim.Status.Phase == corev1.ClaimBound || claim.DeletionTimestamp != nil {
		return nil
	}
	claim = claim.DeepCopy()
	claim.Status.Phase = corev1.ClaimBound
	claim.Status.AccessModes = claim.Spec.AccessModes
	claim.Status.Capacity = claim.Spec.Resources.Requests
	_, err := p.client.CoreV1().PersistentVolumeClaims(claim.Namespace).UpdateStatus(ctx, claim, metav1.UpdateOptions{})
	return err
}
