package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// steering is what all commands have that steer one Rollout.
type steering struct {
	reason  string
	version uint64
	dryRun  bool
	// overToo: it can be said of a Rollout that is over; noneToo: and of an App that never had one; queuedToo: of one that has
	// not begun.
	overToo, noneToo, queuedToo bool
}

func (s *steering) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.reason, "reason", "", "why, on one line: rollout watch and events tell it")
	addDryRunFlag(cmd, &s.dryRun)
	cmd.Flags().Uint64Var(&s.version, "expected-version", 0, "refuse when the rollout is at another version than this one that was looked at (default any)")
}

// of is the request about a Rollout.
func (s steering) of(ro *adminv1.Rollout) *adminv1.AppRollout {
	request := exactly(ro)
	request.Reason, request.Version, request.DryRun = s.reason, s.version, s.dryRun
	return request
}

// steeringCommand is a command that names one Rollout and does something to it.
func (a *app) steeringCommand(use, short string, s *steering, act func(ctx context.Context, h *hub, r rolloutRef, ro *adminv1.Rollout) error) *cobra.Command {
	verb, _, _ := strings.Cut(use, " ")
	cmd := &cobra.Command{
		Use:         use,
		Short:       short,
		Annotations: outputs("json", "yaml", "name"),
		Args:        between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.parseRollout(cmd, args)
			if err != nil {
				return err
			}
			return a.steer(cmd.Context(), verb, *s, r, act)
		},
		ValidArgsFunction: a.completeRollouts,
	}
	s.addFlags(cmd)
	return cmd
}

// steer reads the Rollout, so that what is done is done to that one, and acts.
func (a *app) steer(ctx context.Context, verb string, s steering, r rolloutRef, act func(ctx context.Context, h *hub, r rolloutRef, ro *adminv1.Rollout) error) error {
	h, err := a.connect()
	if err != nil {
		return err
	}
	defer h.close()
	ro, err := a.get(ctx, h, r)
	switch {
	case s.noneToo && r.hasNone(err):
		ro = &adminv1.Rollout{AppKind: r.app.kind.Name, AppNamespace: r.app.namespace, AppName: r.app.name}
	case err != nil:
		return a.rolloutFailure(verb+" "+r.String(), r, err)
	}
	if over(ro) && !s.overToo {
		return &failure{code: exitPrecondition, what: fmt.Sprintf("%s: %s of %s is over: it %s", verb, ro.GetId(), appOf(ro), phaseText(ro)), why: whyText(ro),
			next: "fleetctl rollout start " + appOf(ro).command() + " begins another, and fleetctl rollout rollback " + appOf(ro).command() + " goes back to what was good before"}
	}
	if ro.GetPhase() == phaseQueued && !s.queuedToo {
		next, _ := h.awaits(ctx, ro)
		if next == "" {
			next = "fleetctl rollout status " + ro.GetId()
		}
		return &failure{code: exitPrecondition, what: fmt.Sprintf("%s: %s of %s is queued: it has not begun", verb, ro.GetId(), appOf(ro)), why: whyText(ro),
			next: next + ", or fleetctl rollout cancel " + ro.GetId() + " to drop it"}
	}
	return act(ctx, h, r, ro)
}

// call makes one change of a Rollout and returns it as it is then.
func call[Response interface{ GetRollout() *adminv1.Rollout }](ctx context.Context, a *app, doing string, ro *adminv1.Rollout, do func(context.Context) (Response, error)) (*adminv1.Rollout, error) {
	ctx, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	response, err := do(ctx)
	if err != nil {
		if ro.GetId() == "" {
			return nil, a.rolloutFailure(doing+" "+appOf(ro).String(), rolloutRef{app: appOf(ro)}, err)
		}
		return nil, a.rolloutFailure(doing+" "+ro.GetId()+" of "+appOf(ro).String(), rolloutRef{id: ro.GetId()}, err)
	}
	return response.GetRollout(), nil
}

// acted tells what was done to a Rollout, or would be.
func (a *app) acted(ro *adminv1.Rollout, word string, dryRun bool) error {
	if written, err := a.emit(newRolloutDocument(ro, nil, nil)); written {
		return err
	}
	line := rolloutType + "/" + ro.GetId()
	if ro.GetId() == "" { // the App never had one
		line = appOf(ro).typed()
	}
	if a.flags.output != "name" {
		line += " " + done(word, dryRun)
	}
	if _, err := fmt.Fprintln(a.stdout, line); err != nil || dryRun {
		return err
	}
	if ro.GetId() == "" {
		a.say(symbolDo, "follow it: fleetctl events --for %s", appOf(ro).command())
		return nil
	}
	if over(ro) {
		a.say(symbolDo, "%s of %s %s", ro.GetId(), appOf(ro), phaseText(ro))
		return nil
	}
	a.say(symbolDo, "%s of %s %s; follow it: fleetctl rollout status %s", ro.GetId(), appOf(ro), phaseText(ro), ro.GetId())
	return nil
}

// awaitActed tells what was done to a Rollout and waits for it to come to good.
func (a *app) awaitActed(ctx context.Context, h *hub, ro *adminv1.Rollout, word, goal string) error {
	a.say(symbolDo, "%s of %s %s", ro.GetId(), appOf(ro), word)
	return a.awaitRollout(ctx, h, ro, rolloutWait{goal: goal})
}

func newRolloutPauseCommand(a *app) *cobra.Command {
	var s steering
	cmd := a.steeringCommand("pause "+rolloutArgument, "Stop going forward", &s, func(ctx context.Context, h *hub, _ rolloutRef, ro *adminv1.Rollout) error {
		word := "paused"
		if ro.GetPhase() == phasePaused && ro.GetReason() == "User" {
			word = "is paused already"
			word += orBlank(s.reason != "", ": the reason that was given first stays")
		}
		ro, err := call(ctx, a, "pause", ro, func(ctx context.Context) (*adminv1.PauseRolloutResponse, error) {
			return h.rollouts.PauseRollout(ctx, &adminv1.PauseRolloutRequest{App: s.of(ro)})
		})
		if err != nil {
			return err
		}
		return a.acted(ro, word, s.dryRun)
	})
	cmd.Long = "Stop going forward. Clusters that are being updated are finished, and failures are watched: a paused rollout is still\n" +
		"halted, and rolled back, when too many clusters fail."
	cmd.Example = `  fleetctl rollout pause ks/podinfo --reason "incident 4711"`
	return cmd
}

func newRolloutResumeCommand(a *app) *cobra.Command {
	var s steering
	var accept, retry bool
	cmd := a.steeringCommand("resume "+rolloutArgument, "Go on where a rollout was paused or halted", &s, func(ctx context.Context, h *hub, _ rolloutRef, ro *adminv1.Rollout) error {
		word := "resumed"
		if ro.GetPhase() == phaseRunning && !accept && !retry {
			word = "is running already"
		}
		ro, err := call(ctx, a, "resume", ro, func(ctx context.Context) (*adminv1.ResumeRolloutResponse, error) {
			return h.rollouts.ResumeRollout(ctx, &adminv1.ResumeRolloutRequest{App: s.of(ro), AcceptCoverage: accept, RetryGate: retry})
		})
		if err != nil {
			return err
		}
		return a.acted(ro, word, s.dryRun)
	})
	cmd.Long = "Go on where a rollout was paused or halted: in the same wave, at the same gate. One that was halted goes on when its cause\n" +
		"is gone (retry-cluster, skip-cluster, skip-gate or --retry-gate); otherwise it says what is missing (exit 8)."
	cmd.Example = `  fleetctl rollout resume ks/podinfo
  fleetctl rollout resume ro-7k2f --accept-coverage --reason "eu-9 is being rebuilt"`
	cmd.Flags().BoolVar(&accept, "accept-coverage", false, "take the wave with the clusters that it has")
	cmd.Flags().BoolVar(&retry, "retry-gate", false, "have a gate that failed, or could not tell, ask anew")
	return cmd
}

func newRolloutCancelCommand(a *app) *cobra.Command {
	s := steering{queuedToo: true}
	var yes assent
	cmd := a.steeringCommand("cancel "+rolloutArgument, "End a rollout where it is", &s, func(ctx context.Context, h *hub, r rolloutRef, ro *adminv1.Rollout) error {
		if err := a.assure(ctx, yes, s.dryRun, []string{fmt.Sprintf("%s of %s ends where it is, %s: clusters stay at what they have", ro.GetId(), appOf(ro), placeText(ro))}); err != nil {
			return err
		}
		ro, err := call(ctx, a, "cancel", ro, func(ctx context.Context) (*adminv1.CancelRolloutResponse, error) {
			return h.rollouts.CancelRollout(ctx, &adminv1.CancelRolloutRequest{App: s.of(ro)})
		})
		if err != nil {
			return err
		}
		return a.acted(ro, "cancelled", s.dryRun)
	})
	cmd.Long = "End a rollout where it is: clusters stay at what they have, and the release does not start by itself again. To take\n" +
		"them back, use rollback."
	cmd.Example = `  fleetctl rollout cancel ks/podinfo -y`
	yes.addFlags(cmd)
	return cmd
}

// scopes are those of a rollback.
var scopes = []string{"Failed", "Wave", "Updated"}

func newRolloutRollbackCommand(a *app) *cobra.Command {
	s := steering{overToo: true, queuedToo: true}
	var yes assent
	var to, scope string
	var wait bool
	cmd := a.steeringCommand("rollback "+rolloutArgument, "Take clusters back to what was good before", &s, func(ctx context.Context, h *hub, r rolloutRef, ro *adminv1.Rollout) error {
		return a.rollBack(ctx, h, r, ro, &adminv1.RollbackRequest{App: s.of(ro), To: to, Scope: scope}, yes, wait)
	})
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := refuseEmpty(cmd, "to", "what was there before"); err != nil {
			return err
		}
		at := slices.IndexFunc(scopes, func(known string) bool { return strings.EqualFold(known, scope) })
		switch {
		case cmd.Flags().Changed("scope") && at < 0:
			return usagef(cmd, "--scope %q is not %s", scope, strings.Join(scopes, ", "))
		case scope != "" && to != "":
			return usagef(cmd, "--scope is for the rollout under way: with --to every cluster goes there")
		case scope != "":
			scope = scopes[at]
		}
		return run(cmd, args)
	}
	cmd.Long = "Take clusters back. A rollout that is under way goes back: each cluster to what it had before. When none is, one begins to\n" +
		"the release that was good before, or to that of --to, in one wave and without gates: it passes over clusters that are away,\n" +
		"frozen or held, which go back when they can, and --wait warns of them. Git is not touched."
	cmd.Example = `  fleetctl rollout rollback ks/podinfo --wait
  fleetctl rollout rollback ks/podinfo --scope failed
  fleetctl rollout rollback ks/podinfo --to main@sha1:77aa01c4 -y`
	cmd.Flags().StringVar(&to, "to", "", "a revision, or sha256:<hex> of a release, that was good (default what was there before)")
	cmd.Flags().StringVar(&scope, "scope", "", "of the rollout under way: Failed clusters, the Wave and later ones, or all that were Updated (default)")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until the clusters are back, as 'rollout wait' does")
	_ = cmd.RegisterFlagCompletionFunc("scope", cobra.FixedCompletions(scopes, cobra.ShellCompDirectiveNoFileComp))
	yes.addFlags(cmd)
	return cmd
}

func (a *app) rollBack(ctx context.Context, h *hub, r rolloutRef, ro *adminv1.Rollout, request *adminv1.RollbackRequest, yes assent, wait bool) error {
	app := appOf(ro)
	if err := a.onlyOne(ctx, h, "rollback", r, ro); err != nil {
		return err
	}
	to, err := a.revisionOf(ctx, h, app, request.GetTo())
	if err != nil {
		return err
	}
	request.To = to
	line := fmt.Sprintf("%s of %s, %s, is taken back: clusters go to what each had before", ro.GetId(), app, placeText(ro))
	goal, dryRun := phaseRolledBack, request.GetApp().GetDryRun()
	switch backward := !over(ro) && ro.GetKind() == "Backward"; {
	case backward && r.id == "" && request.GetTo() == "":
		// Who asks again for what is under way does not want that taken back.
		line, goal, request.App.Id = fmt.Sprintf("%s of %s goes on: it takes clusters back to %s", ro.GetId(), app, releaseText(ro)), phaseSucceeded, ""
	case over(ro), ro.GetPhase() == phaseQueued, request.GetTo() != "":
		if over(ro) && (ro.GetPhase() != phaseSucceeded || request.GetTo() != "") {
			request.App.Id = "" // it is about the App, not about that one
		}
		next, err := a.wouldGoBack(ctx, h, ro, request)
		if err != nil {
			return err
		}
		line, goal = fmt.Sprintf("a rollout begins that takes %s of %s to %s, in one wave and without gates", count(int(next.GetTotals().GetSize()), "cluster"), app, releaseText(next)), phaseSucceeded
	}
	if err := a.assure(ctx, yes, dryRun, []string{line}); err != nil {
		return err
	}
	ro, err = call(ctx, a, "roll back", ro, func(ctx context.Context) (*adminv1.RollbackResponse, error) {
		return h.rollouts.Rollback(ctx, request)
	})
	if err != nil {
		return err
	}
	if wait {
		return a.awaitActed(ctx, h, ro, "goes back", goal)
	}
	return a.acted(ro, "goes back", dryRun)
}

// wouldGoBack is the Rollout that a rollback would begin.
func (a *app) wouldGoBack(ctx context.Context, h *hub, ro *adminv1.Rollout, request *adminv1.RollbackRequest) (*adminv1.Rollout, error) {
	dry := proto.CloneOf(request)
	dry.App.DryRun = true
	return call(ctx, a, "roll back", ro, func(ctx context.Context) (*adminv1.RollbackResponse, error) { return h.rollouts.Rollback(ctx, dry) })
}

// onlyOne refuses a change of a Rollout that is over, or waits, while another one is under way: that is not meant.
func (a *app) onlyOne(ctx context.Context, h *hub, verb string, r rolloutRef, ro *adminv1.Rollout) error {
	if r.id == "" || !over(ro) && ro.GetPhase() != phaseQueued {
		return nil
	}
	newest, err := a.rollout(ctx, h, verb, rolloutRef{app: appOf(ro)})
	if err != nil || newest.GetId() == ro.GetId() || over(newest) {
		return err
	}
	state := "is over"
	if !over(ro) {
		state = phaseText(ro)
	}
	return &failure{code: exitPrecondition, what: fmt.Sprintf("%s %s, and %s of %s %s", ro.GetId(), state, newest.GetId(), appOf(ro), phaseText(newest)),
		next: "fleetctl rollout " + verb + " " + newest.GetId()}
}

// placeText says where a Rollout is.
func placeText(ro *adminv1.Rollout) string {
	text := ro.GetPhase()
	if wave := waveUnderWay(ro); wave != nil {
		text += fmt.Sprintf(" in wave %d/%d %s", ro.GetWave()+1, len(ro.GetWaves()), wave.GetName())
	}
	if ro.GetTotals().GetSize() > 0 {
		text += fmt.Sprintf(", %s clusters updated", doneText(ro.GetTotals()))
	}
	return text
}
