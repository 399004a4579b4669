package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"flotilla.dev/flotilla/pkg/resource"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func newRolloutCommand(a *app) *cobra.Command {
	return newGroup("rollout", "Look at and steer how releases go through the clusters in waves",
		newRolloutPlanCommand(a), newRolloutStartCommand(a), newRolloutStatusCommand(a), newRolloutWatchCommand(a), newRolloutHistoryCommand(a), newRolloutListCommand(a),
		newRolloutPauseCommand(a), newRolloutResumeCommand(a), newRolloutApproveCommand(a), newRolloutRejectCommand(a), newRolloutSkipGateCommand(a),
		newRolloutRetryClusterCommand(a), newRolloutSkipClusterCommand(a), newRolloutRollbackCommand(a), newRolloutCancelCommand(a), newRolloutWaitCommand(a))
}

// rolloutArgument is how one Rollout is named.
const rolloutArgument = "KIND/NAME|ID"

// rolloutType is the kind of a Rollout where a kind stands before its id.
const rolloutType = "rollout.fleet.flotilla.dev"

// rolloutRef names a Rollout: by its id, or as the one under way, else the newest, of an App.
type rolloutRef struct {
	app ref
	id  string
}

func (r rolloutRef) String() string {
	if r.id != "" {
		return r.id
	}
	return r.app.String()
}

// command is String with the namespace, to be pasted behind a verb.
func (r rolloutRef) command() string {
	if r.id != "" {
		return r.id
	}
	return r.app.command()
}

func (r rolloutRef) request() *adminv1.AppRollout {
	return &adminv1.AppRollout{Kind: r.app.kind.Name, Namespace: r.app.namespace, Name: r.app.name, Id: r.id}
}

// rolloutID reads an argument that may be the id of a Rollout, with or without its kind.
func rolloutID(text string) (string, bool) {
	if word, name, slashed := strings.Cut(text, "/"); slashed && isRolloutWord(word) {
		text = name
		return text, text != ""
	}
	return text, strings.HasPrefix(text, "ro-") && !strings.ContainsAny(text, "/@")
}

// isRolloutWord reports whether a word means Rollouts, which are no declared kind.
func isRolloutWord(word string) bool {
	return slices.Contains([]string{"rollouts", "rollout", "ro", rolloutType}, strings.ToLower(word))
}

// parseRollout reads arguments that name one Rollout.
func (a *app) parseRollout(cmd *cobra.Command, args []string) (rolloutRef, error) {
	if err := a.settings(); err != nil {
		return rolloutRef{}, err
	}
	if len(args) == 2 && isRolloutWord(args[0]) {
		args = []string{args[0] + "/" + args[1]}
	}
	if id, is := rolloutID(args[0]); is && len(args) == 1 {
		if !isName(id) {
			return rolloutRef{}, usagef(cmd, "%q is not the id of a Rollout, such as ro-7k2f", args[0])
		}
		return rolloutRef{id: id}, nil
	}
	r, err := a.parseRolledApp(cmd, args)
	return rolloutRef{app: r}, err
}

// parseRolledApp reads arguments that name one App of the whole fleet.
func (a *app) parseRolledApp(cmd *cobra.Command, args []string) (ref, error) {
	refs, err := a.parseRefs(cmd, args)
	if err != nil {
		return ref{}, err
	}
	switch {
	case len(refs) > 1:
		return ref{}, usagef(cmd, "%s is an argument too many", refs[1])
	case !refs[0].kind.App:
		return ref{}, usagef(cmd, "%s: only apps are rolled out", refs[0])
	}
	return refs[0], fleetWide(cmd, refs)
}

// rollout returns the Rollout that r names.
func (a *app) rollout(ctx context.Context, h *hub, doing string, r rolloutRef) (*adminv1.Rollout, error) {
	ro, err := a.get(ctx, h, r)
	if err != nil {
		return nil, a.rolloutFailure(doing+" "+r.String(), r, err)
	}
	return ro, nil
}

// get is rollout with the error as the hub gives it.
func (a *app) get(ctx context.Context, h *hub, r rolloutRef) (*adminv1.Rollout, error) {
	ctx, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	response, err := h.rollouts.GetRollout(ctx, &adminv1.GetRolloutRequest{App: r.request()})
	return response.GetRollout(), err
}

// hasNone reports whether the hub says that it knows the App, and no Rollout of it.
func (r rolloutRef) hasNone(err error) bool {
	return r.id == "" && status.Code(err) == codes.NotFound && strings.Contains(err.Error(), "Rollout")
}

// rolloutFailure is a failure about a Rollout: what is not there, and what does not go, is looked at with other commands
// than an object.
func (a *app) rolloutFailure(doing string, r rolloutRef, err error) error {
	f := *a.explain(doing, err)
	switch status.Code(err) {
	case codes.NotFound:
		f.why = "the hub has no such rollout or app, or does not show it to you"
		switch {
		case strings.Contains(err.Error(), "`fleetctl history`"):
			f.why, f.next = "", ""
		case r.id != "" && strings.Contains(err.Error(), " of rollout "): // a cluster of it
			f.why, f.next = "that cluster is not in it", "fleetctl rollout status "+r.id+" --watch=false -o wide"
		case r.id != "" && strings.Contains(err.Error(), "under way"):
			f.why, f.next = "", "fleetctl rollout status "+r.id+" --watch=false"
		case r.id != "":
			f.next = "fleetctl get rollouts -A"
		case r.hasNone(err):
			f.why, f.next = "", "fleetctl rollout history "+r.command()+", or fleetctl rollout plan "+r.command()
		default:
			f.next = "fleetctl get " + r.app.kind.Plural + " -A"
		}
	case codes.FailedPrecondition, codes.Aborted:
		f.what, f.why = withoutConflict(f.what), ""
		f.next = "fleetctl rollout status " + r.command() + " --watch=false"
	}
	return &f
}

// withoutConflict is text without the word that begins what a hub says of a state: what follows it says more.
func withoutConflict(text string) string { return strings.Replace(text, ": conflict: ", ": ", 1) }

// appOf is the App that a Rollout is of.
func appOf(ro *adminv1.Rollout) ref {
	kind, known := resource.KindOf(ro.GetAppKind())
	if !known {
		kind = resource.Kind{Name: ro.GetAppKind(), Namespaced: true}
	}
	return ref{kind: kind, namespace: ro.GetAppNamespace(), name: ro.GetAppName()}
}

// exactly is the request that means this Rollout and no other.
func exactly(ro *adminv1.Rollout) *adminv1.AppRollout {
	return &adminv1.AppRollout{Kind: ro.GetAppKind(), Namespace: ro.GetAppNamespace(), Name: ro.GetAppName(), Id: ro.GetId()}
}

// rolloutClusters returns the clusters of a Rollout that request selects, at most limit of them (0: all), and whether there are more.
func (h *hub) rolloutClusters(ctx context.Context, request *adminv1.ListRolloutClustersRequest, limit int) (clusters []*adminv1.RolloutCluster, more bool, err error) {
	if limit > 0 {
		request.PageSize = int32(limit)
	}
	for page, err := range pages(ctx, h.rollouts.ListRolloutClusters, request, &request.PageToken) {
		if err != nil {
			return nil, false, err
		}
		clusters = append(clusters, page.GetClusters()...)
		if limit > 0 && (len(clusters) > limit || len(clusters) == limit && page.GetNextPageToken() != "") {
			return clusters[:limit], true, nil
		}
	}
	return clusters, false, nil
}

// rolloutList returns the newest Rollouts that request selects and that keep wants, at most limit of them (0: all).
func (h *hub) rolloutList(ctx context.Context, request *adminv1.ListRolloutsRequest, limit int, keep func(*adminv1.Rollout) bool) (rollouts []*adminv1.Rollout, more bool, err error) {
	for page, err := range pages(ctx, h.rollouts.ListRollouts, request, &request.PageToken) {
		if err != nil {
			return nil, false, err
		}
		for _, ro := range page.GetRollouts() {
			if keep != nil && !keep(ro) {
				continue
			}
			if limit > 0 && len(rollouts) == limit {
				return rollouts, true, nil
			}
			rollouts = append(rollouts, ro)
		}
	}
	return rollouts, false, nil
}
