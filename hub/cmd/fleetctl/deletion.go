package main

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"flotilla.dev/flotilla/pkg/resource"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// deletion is an object to be deleted and what the hub says of it.
type deletion struct {
	ref    ref
	impact *adminv1.Impact
	// gone: it is not there. refused: why the hub would not delete it now, where another deletion may change that.
	gone    bool
	refused string
}

func (a *app) planDeletions(ctx context.Context, h *hub, refs []ref, o deleteOptions) ([]deletion, error) {
	planned := make([]deletion, len(refs))
	err := a.each(refs, "delete", func(i int) (any, error) {
		d, err := a.planDeletion(ctx, h, refs[i], o)
		switch code := status.Code(err); {
		case code == codes.NotFound && o.ignoreNotFound:
			d, err = deletion{ref: refs[i], gone: true}, nil
		case code == codes.FailedPrecondition && len(refs) > 1:
			d, err = deletion{ref: refs[i], refused: status.Convert(err).Message()}, nil
		}
		planned[i] = d
		return nil, err
	})
	return planned, err
}

func (a *app) planDeletion(ctx context.Context, h *hub, r ref, o deleteOptions) (deletion, error) {
	ctx, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	request := deleteRequest(r, o)
	request.DryRun = true
	response, err := h.objects.Delete(ctx, request)
	return deletion{ref: r, impact: response.GetImpact()}, err
}

// deleteOne reports whether it deleted the object; what was gone already it did not. The deletions before it may have
// changed what it means: a number that was confirmed may be less by now, and that is confirmed too.
func (a *app) deleteOne(ctx context.Context, h *hub, d deletion, o deleteOptions) (bool, error) {
	confirmed := d.impact.GetClusters()
	for {
		err := a.sendDelete(ctx, h, d, o)
		switch code := status.Code(err); {
		case code == codes.NotFound && o.ignoreNotFound:
			return false, nil
		case code != codes.FailedPrecondition || !grave(d.impact):
			return err == nil, err
		}
		now, planErr := a.planDeletion(ctx, h, d.ref, o)
		if planErr != nil || grave(now.impact) && now.impact.GetClusters() >= confirmed {
			return false, err
		}
		d, confirmed = now, now.impact.GetClusters()
	}
}

func (a *app) sendDelete(ctx context.Context, h *hub, d deletion, o deleteOptions) error {
	ctx, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	request := deleteRequest(d.ref, o)
	if grave(d.impact) {
		clusters := d.impact.GetClusters()
		request.Confirm = &clusters
	}
	_, err := h.objects.Delete(ctx, request)
	return err
}

func deleteRequest(r ref, o deleteOptions) *adminv1.DeleteRequest {
	return &adminv1.DeleteRequest{
		Kind: r.kind.Name, Namespace: r.namespace, Name: r.name, Cluster: r.cluster,
		Policy: deletePolicies[o.policy], Now: o.now,
	}
}

func (a *app) showDeletions(planned []deletion) error {
	var refs []ref
	for _, d := range planned {
		switch {
		case d.gone:
			continue
		case d.refused != "":
			a.warn("%s: not before the others are gone: %s", d.ref, d.refused)
		case d.impact.GetClusters() > 0 || d.impact.GetSummary() != "" || grave(d.impact):
			a.say(symbolDo, "%s: %s", d.ref, describeImpact(d.impact))
		}
		refs = append(refs, d.ref)
	}
	return a.printRefs(refs, done("deleted", true))
}

// goneGoals are what `delete --wait` waits for: the objects are gone, and what they put into clusters too, or is let go of.
func goneGoals(refs []ref) []goal {
	var goals []goal
	for _, r := range refs {
		gone := goal{ref: r, expect: []expectation{expectDeleted()}}
		g := gone
		switch {
		case r.cluster != "": // it is not there either until the hub has passed the order on
			cluster := ref{kind: resource.Cluster, name: r.cluster}
			g.then = &goal{ref: cluster, expect: []expectation{expectKnown(r)}, then: &gone}
		case r.kind.App:
			everywhere := r
			everywhere.cluster = everyCluster
			g.then = &goal{ref: everywhere, expect: gone.expect}
		}
		goals = append(goals, g)
	}
	return goals
}
