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

// letsGo reports whether the deletion, though it deletes nothing in clusters, has some no longer kept up to date, or takes them
// from a Rollout under way. What only a spoke knows of the hub does not keep as it is.
func (d deletion) letsGo() bool {
	return !grave(d.impact) && d.ref.cluster == "" && (d.impact.GetClusters() > 0 || d.impact.GetRollouts() > 0)
}

// confirmDeletions asks once for all of them: for a number of clusters where objects may be deleted in some, otherwise for a word
// where clusters are let go of.
func (a *app) confirmDeletions(ctx context.Context, c confirmation, planned []deletion) error {
	var stakes, letGo []stake
	var lines []string
	for _, d := range planned {
		s := stake{what: d.ref.String(), impact: d.impact}
		switch {
		case grave(d.impact):
			stakes = append(stakes, s)
		case d.letsGo():
			letGo = append(letGo, s)
			lines = append(lines, s.what+": "+describeImpact(s.impact))
		}
	}
	switch {
	case len(stakes) > 0:
		stakes[len(stakes)-1].details = lines
		return a.confirm(ctx, c, stakes)
	case c.count >= 0:
		return a.confirm(ctx, c, letGo)
	case len(letGo) > 0:
		return a.assure(ctx, assent{yes: c.yes}, false, lines)
	}
	return nil
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
	d := deletion{ref: r, impact: response.GetImpact()}
	if err == nil && o.now && d.impact.GetClusters() == 0 {
		d.impact, err = h.endedNow(ctx, r, d.impact)
	}
	return d, err
}

// endedNow is what it means to end a Cluster without its spoke. The hub counts what it tells clusters, and this one it tells
// nothing any more.
func (h *hub) endedNow(ctx context.Context, r ref, impact *adminv1.Impact) (*adminv1.Impact, error) {
	o, err := h.get(ctx, r)
	if err != nil || o.Status.Apps.Total == 0 {
		return impact, err
	}
	summary := "it lets go of 1 cluster: what is there stays as it is"
	if impact.GetSummary() != "" {
		summary += "; " + impact.GetSummary()
	}
	return &adminv1.Impact{Clusters: 1, Rollouts: impact.GetRollouts(), Summary: summary}, nil
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
