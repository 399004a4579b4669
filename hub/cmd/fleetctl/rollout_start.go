package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

type rolloutStartOptions struct {
	revision, reason, requestID, expectedPlan string
	allowBad, supersede, wait, dryRun         bool
	assent                                    assent
}

func newRolloutStartCommand(a *app) *cobra.Command {
	var o rolloutStartOptions
	cmd := &cobra.Command{
		Use:   "start KIND/NAME",
		Short: "Begin a rollout of the newest release, or of another one that was built",
		Long: "Begin a rollout of the newest release, or of another one that was built. It shows what would begin and asks; with\n" +
			"--expected-plan it begins exactly the plan that `rollout plan` has shown, or nothing (exit 8).",
		Example: `  fleetctl rollout start ks/podinfo
  fleetctl rollout start ks/podinfo --revision main@sha1:9f3c1a2b -y --wait
  fleetctl rollout start ks/podinfo --expected-plan sha256:41ab...`,
		Annotations: outputs("json", "yaml", "name"),
		Args:        between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := refuseEmpty(cmd, "revision", "the newest release"); err != nil {
				return err
			}
			r, err := a.parseRolledApp(cmd, args)
			if err != nil {
				return err
			}
			if digest, err := fleet.ParseDigest(o.expectedPlan); cmd.Flags().Changed("expected-plan") && (err != nil || digest.IsZero()) {
				return usagef(cmd, "--expected-plan %q is not the digest of a plan, sha256:<64 hex digits>", o.expectedPlan)
			}
			return a.runRolloutStart(cmd.Context(), r, o)
		},
		ValidArgsFunction: a.completeRolledApps,
	}
	flags := cmd.Flags()
	flags.StringVar(&o.revision, "revision", "", "the release to roll out: a revision, or sha256:<hex> of a release (default the newest)")
	flags.StringVar(&o.expectedPlan, "expected-plan", "", "digest of the plan that is meant, as 'rollout plan' gives it")
	flags.BoolVar(&o.allowBad, "allow-bad", false, "take a release that has failed before")
	flags.BoolVar(&o.supersede, "supersede", false, "take the place of the rollout under way")
	flags.StringVar(&o.reason, "reason", "", "why, on one line: rollout status, rollout history and events tell it")
	flags.StringVar(&o.requestID, "request-id", "", "name of the request: given again, it begins no second rollout")
	flags.BoolVar(&o.wait, "wait", false, "wait until the rollout has succeeded or failed, as 'rollout wait' does")
	addDryRunFlag(cmd, &o.dryRun)
	o.assent.addFlags(cmd)
	return cmd
}

func (a *app) runRolloutStart(ctx context.Context, r ref, o rolloutStartOptions) error {
	h, err := a.connect()
	if err != nil {
		return err
	}
	defer h.close()
	request := &adminv1.StartRolloutRequest{
		App: rolloutRef{app: r}.request(), RequestId: o.requestID, AllowBad: o.allowBad, Supersede: o.supersede, ExpectedPlanDigest: o.expectedPlan,
	}
	if request.Target, err = a.revisionOf(ctx, h, r, o.revision); err != nil {
		return err
	}
	request.App.Reason, request.App.DryRun = o.reason, o.dryRun
	if request.RequestId == "" {
		request.RequestId = rand.Text()
	}
	asked := o.expectedPlan == "" && !o.assent.yes && !o.dryRun
	before, err := a.get(ctx, h, rolloutRef{app: r})
	if err != nil && !(rolloutRef{app: r}).hasNone(err) {
		return a.planFailure("start a rollout of "+r.String(), r, err)
	}
	if o.expectedPlan == "" {
		plan, err := a.plannedRollout(ctx, h, r, &adminv1.PlanRolloutRequest{App: rolloutRef{app: r}.request(), Target: request.GetTarget()})
		if err != nil {
			return err
		}
		request.ExpectedPlanDigest = plan.GetRollout().GetPlanDigest() // what is agreed to
		if asked {
			would, err := a.wouldStart(ctx, h, r, request)
			if err != nil {
				return err
			}
			asked = !underWayAlready(before, would)
		}
		if asked {
			if err := a.assure(ctx, o.assent, o.dryRun, planLines(plan)); err != nil {
				return err
			}
		}
	}
	begun, err := a.start(ctx, h, r, request)
	if err != nil {
		return err
	}
	word := "started"
	switch {
	case o.requestID != "" && overAlready(before, begun): // the answer to a request that was made before
		word = "was started by this request already"
	case underWayAlready(before, begun):
		word = "is under way already"
	}
	if !asked {
		for _, line := range deadEnds(begun, begun.GetActor()) {
			a.say(symbolWarn, "%s", line)
		}
	}
	if o.wait {
		return a.awaitActed(ctx, h, begun, word, phaseSucceeded)
	}
	return a.acted(begun, word, o.dryRun)
}

// start begins a Rollout, or says why none begins and with what it would.
func (a *app) start(ctx context.Context, h *hub, r ref, request *adminv1.StartRolloutRequest) (*adminv1.Rollout, error) {
	ctx, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	response, err := h.rollouts.StartRollout(ctx, request)
	if err == nil {
		return response.GetRollout(), nil
	}
	failed := a.planFailure("start a rollout of "+r.String(), r, err)
	if f := (*failure)(nil); errors.As(failed, &f) && f.code == exitPrecondition {
		again := proto.CloneOf(request)
		if consent(again, err) {
			f.next = "fleetctl rollout start " + r.command() + revisionFlag(again.GetTarget()) + consentFlags(again)
		}
	}
	return nil, failed
}

// wouldStart is the Rollout that would be under way then.
func (a *app) wouldStart(ctx context.Context, h *hub, r ref, request *adminv1.StartRolloutRequest) (*adminv1.Rollout, error) {
	dry := proto.CloneOf(request)
	dry.App.DryRun = true
	return a.start(ctx, h, r, dry)
}

// underWayAlready reports whether what a start comes to had begun before.
func underWayAlready(before, begun *adminv1.Rollout) bool {
	return before.GetId() != "" && before.GetId() == begun.GetId() && before.GetPhase() != phaseQueued
}

// overAlready reports whether what a start comes to was over before. Where every cluster has the Release already, it is over as soon
// as it has begun.
func overAlready(before, begun *adminv1.Rollout) bool {
	return over(begun) && (before.GetId() == begun.GetId() && over(before) || !begun.GetStarted().AsTime().After(before.GetCreated().AsTime()))
}

// consent gives the request what the hub has refused it for the lack of, and reports whether that was something.
func consent(request *adminv1.StartRolloutRequest, refused error) bool {
	for _, lacks := range []struct {
		flag  string
		given *bool
	}{{"--allow-bad", &request.AllowBad}, {"--supersede", &request.Supersede}} {
		if strings.Contains(refused.Error(), lacks.flag) && !*lacks.given {
			*lacks.given = true
			return true
		}
	}
	return false
}

// consentFlags are the flags of what a person consents to.
func consentFlags(request *adminv1.StartRolloutRequest) string {
	return orBlank(request.GetAllowBad(), " --allow-bad") + orBlank(request.GetSupersede(), " --supersede")
}

// planLines are a plan in short.
func planLines(plan *adminv1.PlanRolloutResponse) []string {
	ro := plan.GetRollout()
	lines := []string{fmt.Sprintf("%s goes to %s in %s, in %s", appOf(ro), releaseText(ro), count(int(ro.GetTotals().GetSize()), "cluster"), count(len(ro.GetWaves()), "wave"))}
	if why := whyText(ro); why != "" && (ro.GetReason() != "AwaitingStart" || !strings.HasPrefix(ro.GetMessage(), "spec.autoStart")) { // to start it is what is asked
		lines = append(lines, "as of now: "+why)
	}
	for i, w := range ro.GetWaves() {
		line := fmt.Sprintf("wave %d %s: %s, %d at a time: %s", i+1, w.GetName(), count(int(w.GetTotals().GetSize()), "cluster"), w.GetMaxConcurrent(), clustersOfWave(plan.GetClusters(), i))
		if gates := gateList(append(append([]*adminv1.RolloutGate{}, w.GetBefore()...), w.GetAfter()...)); gates != "" {
			line += "; gates: " + gates
		}
		lines = append(lines, line)
	}
	if n := len(plan.GetNotTargeted()); n > 0 {
		lines = append(lines, fmt.Sprintf("%s not targeted: fleetctl rollout plan %s tells why", count(n, "cluster"), appOf(ro).command()))
	}
	return append(lines, deadEnds(ro, fleet.Admin)...)
}
