package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// rolloutWait is what a Rollout is waited for.
type rolloutWait struct {
	// goal is the phase that is success.
	goal string
	// through: what a person has to do is waited for, too.
	through bool
}

func newRolloutWaitCommand(a *app) *cobra.Command {
	o := rolloutWait{goal: phaseSucceeded}
	var revision string
	cmd := &cobra.Command{
		Use:   "wait " + rolloutArgument,
		Short: "Wait until a rollout has succeeded, or tell why it does not",
		Long: "Wait until a rollout has succeeded: of an app the one under way, or else the newest. It looks first and returns at once\n" +
			"when it has. It fails at once when nothing more comes of it (exit 7) and when a person has to act (exit 9, unless\n" +
			"--through-pauses), and after --timeout (default never) it says which clusters are missing and why (exit 6).\n" +
			"--timeout 0 looks once. With -o json, stdout has the rollout in each of these cases.\n\n" +
			"After a push, --revision waits for the rollout of that revision, which may not have begun yet; where the app came to\n" +
			"the revision without one, since its release stayed the same, that is success.",
		Example: `  fleetctl rollout wait ks/podinfo --revision "$(git rev-parse HEAD)" --timeout 1h
  fleetctl rollout wait ro-7k2f --through-pauses`,
		Annotations: outputs("json", "yaml", "name"),
		Args:        between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.parseRollout(cmd, args)
			if err != nil {
				return err
			}
			if err := refuseEmpty(cmd, "revision", "the rollout under way, or else the newest"); err != nil {
				return err
			}
			if revision != "" && r.id != "" {
				return usagef(cmd, "--revision is for an app: %s has one already", r.id)
			}
			return a.runRolloutWait(cmd.Context(), r, revision, o)
		},
		ValidArgsFunction: a.completeRollouts,
	}
	cmd.Flags().StringVar(&revision, "revision", "", "wait for the rollout of this revision: all of it, its hash, or the first 7 digits or more of that")
	cmd.Flags().BoolVar(&o.through, "through-pauses", false, "wait on while the rollout is paused, or waits for an approval, of a held prune too, "+
		"to be started, for the end of a freeze or of a suspension, for a wave that takes a cluster, or for a window")
	return cmd
}

func (a *app) runRolloutWait(ctx context.Context, r rolloutRef, revision string, o rolloutWait) error {
	h, err := a.connect()
	if err != nil {
		return err
	}
	defer h.close()
	if revision == "" {
		ro, err := a.rollout(ctx, h, "wait for", r)
		if err != nil {
			return err
		}
		return a.awaitRollout(ctx, h, ro, o)
	}
	ctx, cancel := a.waiting(ctx)
	defer cancel()
	ro, err := a.rolloutOf(ctx, h, r.app, revision, o.through)
	switch {
	case err != nil && ro != nil:
		return a.unmet(ro, awaited(ro), err)
	case err != nil, ro == nil:
		return err
	}
	return a.awaitRollout(ctx, h, ro, o)
}

// waiting bounds a wait: never, unless --timeout says so. Where that is 0, the one look is bounded like any answer.
func (a *app) waiting(ctx context.Context) (context.Context, context.CancelFunc) {
	if a.looksOnce() {
		return a.waitBound(ctx)
	}
	return a.bounded(ctx, 0)
}

// awaitRollout waits until a Rollout is where it should be.
func (a *app) awaitRollout(ctx context.Context, h *hub, ro *adminv1.Rollout, o rolloutWait) error {
	ctx, cancel := a.waiting(ctx)
	defer cancel()
	said := ""
	look := func(now *adminv1.Rollout, _ []*adminv1.RolloutEvent) error {
		if now != nil {
			ro = now
		}
		_, end := settled(ro)
		next, of := "", ro
		if !end && !o.through {
			next, of = h.awaits(ctx, ro)
		}
		switch {
		case ro.GetPhase() == o.goal:
			return errMet
		case end:
			return a.unmet(ro, next, a.endOf(ctx, h, ro))
		case next != "" && h.stillAwaited(ctx, of):
			f := &failure{code: exitPerson, what: fmt.Sprintf("%s of %s waits for a person", ro.GetId(), appOf(ro)), why: summary(ro), next: next}
			if of.GetId() != ro.GetId() {
				f.why += "\n" + summary(of)
			}
			return a.unmet(ro, next, f)
		case a.looksOnce():
			return errNotYet
		}
		if key := summaryKey(ro); key != said {
			said = key
			a.say(symbolWait, "%s", summary(ro))
		}
		return nil
	}
	err := look(ro, nil)
	if err == nil && ro.GetPhase() == phaseQueued {
		err = a.lookWhileQueued(ctx, h, ro, look)
	}
	if err == nil {
		err = a.followRollout(ctx, h, ro, look)
	}
	switch {
	case errors.Is(err, errMet):
		a.warnOfLeftBehind(ctx, h, ro)
		return a.printWaited(ro, "", strings.TrimPrefix(phaseText(ro), "was "))
	case errors.Is(err, errNotYet), isTimeout(err), status.Code(err) == codes.DeadlineExceeded:
		return a.unmet(ro, awaited(ro), a.rolloutTooLate(h, ro))
	case ctx.Err() != nil:
		return a.leftRollout(ro, ctx.Err(), err)
	}
	return a.explain("wait for "+ro.GetId(), err)
}

// lookWhileQueued looks at a Rollout again and again until it has begun: what the one that it waits for waits for is no change of
// its own.
func (a *app) lookWhileQueued(ctx context.Context, h *hub, ro *adminv1.Rollout, look func(*adminv1.Rollout, []*adminv1.RolloutEvent) error) error {
	for away := false; ; {
		if a.pause(ctx, statusPeriod) != nil || ctx.Err() != nil {
			return ctx.Err()
		}
		response, err := h.rollouts.GetRollout(ctx, &adminv1.GetRolloutRequest{App: exactly(ro)})
		switch {
		case err != nil && (ctx.Err() != nil || !passing(err)):
			return err
		case err != nil && !away:
			a.say(symbolWarn, "the connection to the hub is lost; trying again until it is back")
		case err == nil:
			if err := look(response.GetRollout(), nil); err != nil || response.GetRollout().GetPhase() != phaseQueued {
				return err
			}
		}
		away = err != nil
	}
}

// stillAwaited reports whether what a person has to do is still to be done. What was done elsewhere than to the Rollout itself,
// the hub takes up with its next step. Where the hub cannot say, what the Rollout says stands.
func (h *hub) stillAwaited(ctx context.Context, ro *adminv1.Rollout) bool {
	app := appOf(ro)
	switch ro.GetReason() {
	case "Frozen":
		state, err := h.rollouts.GetFreeze(ctx, &adminv1.GetFreezeRequest{})
		return err != nil || state.GetFleet() != nil
	case "Suspended":
		o, err := h.get(ctx, app)
		return err != nil || o.suspended()
	case "UnmatchedClusters":
		plan, err := h.rollouts.PlanRollout(ctx, &adminv1.PlanRolloutRequest{App: rolloutRef{app: app}.request(), Target: ro.GetTarget()})
		return err != nil || plan.GetRollout().GetReason() == ro.GetReason()
	}
	return true
}

// endOf is endRollout where succeeding may not be the goal.
func (a *app) endOf(ctx context.Context, h *hub, ro *adminv1.Rollout) error {
	if err := a.endRollout(ctx, h, ro); err != nil {
		return err
	}
	return &failure{code: exitFailed, what: fmt.Sprintf("%s of %s %s", ro.GetId(), appOf(ro), phaseText(ro)), why: whyText(ro)}
}

// unmet is how a wait ends that has not come to its goal: err says why, and a program is given the Rollout all the same.
func (a *app) unmet(ro *adminv1.Rollout, awaits string, err error) error {
	return errors.Join(err, a.printWaited(ro, awaits, ""))
}

// printWaited writes a Rollout that was waited for; came, which may be empty, is what came of it in a word.
func (a *app) printWaited(ro *adminv1.Rollout, awaits, came string) error {
	document := newRolloutDocument(ro, nil, nil)
	document.Awaits = awaits
	if written, err := a.emit(document); written {
		return err
	}
	line := rolloutType + "/" + ro.GetId()
	switch {
	case a.flags.output == "name":
	case came == "":
		return nil
	default:
		line += " " + came
	}
	_, err := fmt.Fprintln(a.stdout, line)
	return err
}

// rolloutTooLate tells which clusters are missing, and why.
func (a *app) rolloutTooLate(h *hub, ro *adminv1.Rollout) error {
	f := &failure{code: exitTimeout, what: fmt.Sprintf("timed out after %s waiting for %s of %s", a.flags.timeout, ro.GetId(), appOf(ro)),
		next: "fleetctl rollout status " + ro.GetId()}
	if a.looksOnce() {
		f.what = fmt.Sprintf("not yet: %s of %s %s", ro.GetId(), appOf(ro), phaseText(ro))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	lines := []string{summary(ro)}
	clusters, more, _ := h.shownClusters(ctx, ro, false) // what cannot be told now is left out
	for i, c := range clusters {
		if i == maxMissing {
			more = true
			break
		}
		lines = append(lines, clusterLine(c))
	}
	if more {
		lines = append(lines, "and more clusters")
	}
	f.why = strings.Join(lines, "\n")
	return f
}

func isTimeout(err error) bool { return errors.Is(err, context.DeadlineExceeded) }
