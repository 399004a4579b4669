package main

import (
	"context"
	"strings"
	"sync"

	"google.golang.org/grpc"

	"flotilla.dev/flotilla/pkg/resource"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// changes are those that were asked of the hub, which go on whether or not somebody waits for them.
type changes struct {
	mu   sync.Mutex
	any  bool
	refs []ref
	// deletes: the last one ends something.
	deletes bool
	// rollouts are those that were begun or steered, by what names them behind `rollout status`.
	rollouts []string
}

// noting is a connection that notes the changes which are asked for.
type noting struct {
	grpc.ClientConnInterface
	asked *changes
}

func (n noting) Invoke(ctx context.Context, method string, request, response any, options ...grpc.CallOption) error {
	n.asked.note(request)
	return n.ClientConnInterface.Invoke(ctx, method, request, response, options...)
}

// note notes a request that is one for a change: each of those can be a dry run, and no other. Those that steer a Rollout say
// so where they name it.
func (c *changes) note(request any) {
	if c.noteRollout(request) {
		return
	}
	if change, ok := request.(interface{ GetDryRun() bool }); !ok || change.GetDryRun() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.any = true
	if r, ok := changed(request); ok {
		c.refs = append(c.refs, r)
	}
	_, c.deletes = request.(*adminv1.DeleteRequest)
}

// noteRollout notes a request that steers Rollouts, and reports whether it is one.
func (c *changes) noteRollout(request any) bool {
	var app *adminv1.AppRollout
	switch q := request.(type) {
	case *adminv1.PlanRolloutRequest, *adminv1.GetRolloutRequest, *adminv1.ListRolloutClustersRequest:
		return true
	case interface{ GetApp() *adminv1.AppRollout }:
		app = q.GetApp()
	}
	if app == nil || app.GetDryRun() {
		return app != nil
	}
	kind, _ := resource.KindOf(app.GetKind())
	r := rolloutRef{app: ref{kind: kind, namespace: app.GetNamespace(), name: app.GetName()}, id: app.GetId()}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.any = true
	c.rollouts = append(c.rollouts, r.command())
	return true
}

// changed is the object that a request is about.
func changed(request any) (ref, bool) {
	switch q := request.(type) {
	case *adminv1.ApplyRequest:
		r, err := identify(q.GetObject())
		return r, err == nil
	case *adminv1.RegisterRequest:
		return ref{kind: resource.Cluster, name: q.GetName()}, true
	case interface {
		GetKind() string
		GetNamespace() string
		GetName() string
	}:
		kind, found := resource.KindOf(q.GetKind())
		r := ref{kind: kind, namespace: q.GetNamespace(), name: q.GetName()}
		if instance, ok := request.(interface{ GetCluster() string }); ok {
			r.cluster = instance.GetCluster()
		}
		return r, found
	}
	return ref{}, false
}

// follow is the command that follows what goes on; empty: nothing does.
func (c *changes) follow() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var words []string
	for _, r := range c.refs {
		words = append(words, r.pasted())
	}
	switch {
	case !c.any:
		return ""
	case len(c.rollouts) > 0:
		return "fleetctl rollout status " + c.rollouts[len(c.rollouts)-1]
	case len(words) == 0:
		return "fleetctl status -w"
	case c.deletes:
		return "fleetctl wait " + strings.Join(words, " ") + " --for=delete"
	}
	return "fleetctl get " + strings.Join(words, " ") + " -w"
}
