package lab

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The node that the podlet makes up.
const (
	nodeName = "podlet"
	nodeIP   = "192.0.2.10"
)

var nodeLabels = map[string]string{
	"kubernetes.io/hostname": nodeName,
	"kubernetes.io/os":       "linux",
	"kubernetes.io/arch":     "amd64",
}

// keepNode makes the node and keeps it Ready, whatever happens to it.
func (p *podlet) keepNode(ctx context.Context) {
	ticker := time.NewTicker(5 * time.Second)
	defer ticker.Stop()
	for {
		err := p.writeNode(ctx)
		wait := ticker.C
		if err != nil && ctx.Err() == nil {
			p.log.Debug("retrying", "kind", "Node", "name", nodeName, "err", err)
			wait = time.After(200 * time.Millisecond)
		}
		select {
		case <-ctx.Done():
			return
		case <-wait:
		}
	}
}

func (p *podlet) writeNode(ctx context.Context) error {
	nodes := p.client.CoreV1().Nodes()
	node, err := nodes.Get(ctx, nodeName, metav1.GetOptions{ResourceVersion: "0"})
	if apierrors.IsNotFound(err) {
		node, err = nodes.Create(ctx, &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: nodeName, Labels: nodeLabels},
		}, metav1.CreateOptions{})
	}
	if err != nil {
		return err
	}
	// A new node is tainted as not ready, and the controller that would untaint it does not run.
	if len(node.Spec.Taints) > 0 {
		node.Spec.Taints = nil
		if node, err = nodes.Update(ctx, node, metav1.UpdateOptions{}); err != nil {
			return err
		}
	}
	status := nodeStatus(node.Status, time.Now())
	if equality.Semantic.DeepEqual(status, node.Status) {
		return nil
	}
	node.Status = status
	_, err = nodes.UpdateStatus(ctx, node, metav1.UpdateOptions{})
	return err
}

// nodeStatus is a node's that has room for everything.
func nodeStatus(status corev1.NodeStatus, now time.Time) corev1.NodeStatus {
	status = *status.DeepCopy()
	status.Capacity = corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("1000"),
		corev1.ResourceMemory: resource.MustParse("1000Gi"),
		corev1.ResourcePods:   resource.MustParse("100000"),
	}
	status.Allocatable = status.Capacity
	status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: nodeIP}}
	ready := corev1.NodeCondition{
		Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady",
		LastTransitionTime: metav1.NewTime(now.Truncate(time.Second)), LastHeartbeatTime: metav1.NewTime(now.Truncate(time.Second)),
	}
	for _, have := range status.Conditions {
		if have.Type == corev1.NodeReady && have.Status == corev1.ConditionTrue {
			ready = have // the heartbeat is nobody's concern here: no write when nothing changed
		}
	}
	status.Conditions = []corev1.NodeCondition{ready}
	return status
}
