package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/hub/cmd/fleetctl/printer"
	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// gateChoice names a gate of a Rollout, where it has to be named.
type gateChoice struct{ wave, gate string }

func (c *gateChoice) addFlags(a *app, cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.wave, "wave", "", "the wave that the gate is of (default the one under way)")
	cmd.Flags().StringVar(&c.gate, "gate", "", "name of the gate (default the one that is waited for)")
	_ = cmd.RegisterFlagCompletionFunc("wave", a.completeOfRollout(func(ro *adminv1.Rollout) []string {
		var names []string
		for _, w := range ro.GetWaves() {
			names = append(names, w.GetName())
		}
		return names
	}))
	_ = cmd.RegisterFlagCompletionFunc("gate", a.completeOfRollout(func(ro *adminv1.Rollout) []string {
		var names []string
		for _, g := range gatesOf(ro) {
			if !slices.Contains(names, g.GetName()) {
				names = append(names, g.GetName())
			}
		}
		return names
	}))
}

// placedGate is a gate and where it is.
type placedGate struct {
	*adminv1.RolloutGate
	wave int
	side string
}

func gatesOf(ro *adminv1.Rollout) []placedGate {
	var gates []placedGate
	for i, w := range ro.GetWaves() {
		for _, g := range w.GetBefore() {
			gates = append(gates, placedGate{g, i, "before"})
		}
		for _, g := range w.GetAfter() {
			gates = append(gates, placedGate{g, i, "after"})
		}
	}
	return gates
}

// passed reports whether there is nothing more to decide at the gate.
func (g placedGate) passed() bool { return g.GetPhase() == "Passed" || g.GetPhase() == "Overridden" }

// choose returns the gate that is meant, of that type (empty: any): the one that is named, or else the one waited for.
func (c gateChoice) choose(ro *adminv1.Rollout, of string) (placedGate, error) {
	var all, meant, due []placedGate
	for _, g := range gatesOf(ro) {
		if of != "" && g.GetType() != of {
			continue
		}
		all = append(all, g)
		if c.wave != "" && ro.GetWaves()[g.wave].GetName() != c.wave || c.gate != "" && g.GetName() != c.gate {
			continue
		}
		meant = append(meant, g)
		if !g.passed() && g.wave == int(ro.GetWave()) && g.GetPhase() != "Waiting" {
			due = append(due, g)
		}
	}
	what := "gate"
	if of != "" {
		what = strings.ToLower(of)
	}
	named := c.gate != "" || c.wave != ""
	open := slices.DeleteFunc(slices.Clone(meant), placedGate.passed)
	switch {
	case len(due) == 1:
		return due[0], nil
	case len(meant) == 0:
		return placedGate{}, &failure{code: exitNotFound, what: fmt.Sprintf("%s has no such %s", ro.GetId(), what), why: c.list(ro, all), next: "fleetctl rollout status " + ro.GetId() + " --watch=false"}
	case named && len(open) == 1:
		return open[0], nil
	case len(open) == 0:
		return placedGate{}, &failure{code: exitPrecondition, what: fmt.Sprintf("%s of %s has been decided: nothing is open", what, ro.GetId()), why: c.list(ro, meant)}
	case !named && len(due) == 0:
		f := &failure{code: exitPrecondition, what: fmt.Sprintf("%s waits for no %s now", ro.GetId(), what), why: c.list(ro, open), next: "--wave and --gate, to pass over ahead"}
		if of != "" { // there has to be something to see
			f.next = "fleetctl rollout status " + ro.GetId() + ": it is decided once it is reached"
		}
		return placedGate{}, f
	}
	return placedGate{}, &failure{code: exitUsage, what: fmt.Sprintf("several gates of %s may be meant", ro.GetId()), why: c.list(ro, open), next: "--wave and --gate with one of these"}
}

// list is a line for each gate.
func (c gateChoice) list(ro *adminv1.Rollout, gates []placedGate) string {
	if len(gates) == 0 {
		return "there is none"
	}
	var lines []string
	for _, g := range gates {
		lines = append(lines, fmt.Sprintf("--wave %s --gate %s: %s, %s", ro.GetWaves()[g.wave].GetName(), g.GetName(), g.GetType(), g.GetPhase()))
	}
	return strings.Join(lines, "\n")
}

func newRolloutApproveCommand(a *app) *cobra.Command {
	cmd := newDecideCommand(a, "approve", true)
	cmd.Short = "Approve at a gate"
	cmd.Long = "Approve at a gate. It shows what is decided on, and asks. A decision is bound to the plan that was shown, and is never\n" +
		"changed afterwards."
	return cmd
}

func newRolloutRejectCommand(a *app) *cobra.Command {
	cmd := newDecideCommand(a, "reject", false)
	cmd.Short = "Reject at a gate, which halts the rollout"
	cmd.Long = "Reject at a gate. One who rejects is enough: the rollout is halted at once, and where its policy says onFailure.action\n" +
		"Rollback, the clusters that were updated are taken back. Otherwise that is another decision: rollback, or skip-gate."
	return cmd
}

func newDecideCommand(a *app, verb string, approve bool) *cobra.Command {
	var s steering
	var yes assent
	var c gateChoice
	var comment string
	cmd := a.steeringCommand(verb+" "+rolloutArgument, "", &s, func(ctx context.Context, h *hub, _ rolloutRef, ro *adminv1.Rollout) error {
		g, err := c.choose(ro, "Approval")
		if err != nil {
			return err
		}
		if err := a.assure(ctx, yes, s.dryRun, decisionLines(ro, g, verb)); err != nil {
			return err
		}
		wave, before := ro.GetWaves()[g.wave].GetName(), ro
		request := &adminv1.DecideGateRequest{App: s.of(ro), Wave: wave, Gate: g.GetName(), PlanDigest: ro.GetPlanDigest(), Approve: approve, Comment: comment}
		ro, err = call(ctx, a, verb, ro, func(ctx context.Context) (*adminv1.DecideGateResponse, error) {
			return h.rollouts.DecideGate(ctx, request)
		})
		if f := (*failure)(nil); errors.As(err, &f) && approve && unapprovable(before, before.GetWaves()[g.wave], g.RolloutGate, before.GetActor()) != "" {
			f.next = skipGateCommand(before, wave, g.GetName())
		}
		if err != nil {
			return err
		}
		word := map[string]string{"approve": "approved", "reject": "rejected"}[verb]
		for _, now := range gatesOf(ro) {
			same := now.wave == g.wave && now.side == g.side && now.GetName() == g.GetName()
			if n := len(g.GetDecisions()); same && n > 0 && len(now.GetDecisions()) == n {
				word = "was " + word + " by you already"
			}
		}
		return a.decided(ro, word, wave, g.GetName(), s.dryRun)
	})
	cmd.Flags().Lookup("reason").Hidden = true // a comment is the reason
	cmd.Example = fmt.Sprintf("  fleetctl rollout %s ks/podinfo\n  fleetctl rollout %s ro-7k2f --wave canary --gate prod-go --comment \"looked at the graphs\" -y", verb, verb)
	cmd.Flags().StringVar(&comment, "comment", "", "what others should know of the decision")
	c.addFlags(a, cmd)
	yes.addFlags(cmd)
	return cmd
}

// decisionLines say what is decided on.
func decisionLines(ro *adminv1.Rollout, g placedGate, verb string) []string {
	wave := ro.GetWaves()[g.wave]
	lines := []string{fmt.Sprintf("%s %s of %s to %s, %s", verb, ro.GetId(), appOf(ro), releaseText(ro), placeText(ro))}
	next := "the rollout ends with it"
	switch {
	case verb == "reject" && rollsBack(ro) != "":
		next = fmt.Sprintf("the rollout is halted, and its policy takes the clusters that were updated back (%s)", rollsBack(ro))
	case verb == "reject":
		next = "the rollout is halted, and clusters stay at what they have"
	case g.side == "before":
		next = fmt.Sprintf("wave %s has %s", wave.GetName(), count(int(wave.GetTotals().GetSize()), "cluster"))
	case g.wave+1 < len(ro.GetWaves()):
		after := ro.GetWaves()[g.wave+1]
		next = fmt.Sprintf("next is wave %s with %s", after.GetName(), count(int(after.GetTotals().GetSize()), "cluster"))
	}
	lines = append(lines, fmt.Sprintf("gate %s, %s wave %s: %s; %s", g.GetName(), g.side, wave.GetName(), gateDetail(g.RolloutGate), next))
	if failed := ro.GetTotals().GetFailed(); failed > 0 {
		lines = append(lines, count(int(failed), "cluster")+" failed so far")
	}
	for _, d := range g.GetDecisions() {
		word := "rejected"
		if d.GetApprove() {
			word = "approved"
		}
		lines = append(lines, strings.TrimSuffix(fmt.Sprintf("%s %s: %s", d.GetPrincipal(), word, printer.Fold(d.GetComment())), ": "))
	}
	return lines
}

// rollsBack is the scope of the rollback that follows a failure by the policy of a Rollout; empty: none does.
func rollsBack(ro *adminv1.Rollout) fleet.FailureScope {
	var policy fleet.RolloutPolicy
	if json.Unmarshal(ro.GetPolicy(), &policy) != nil || policy.OnFailure.Action != fleet.RollbackOnFailure || ro.GetKind() == "Backward" {
		return ""
	}
	return policy.WithDefaults().OnFailure.Scope
}

// decided tells what became of a gate.
func (a *app) decided(ro *adminv1.Rollout, word, wave, gate string, dryRun bool) error {
	if err := a.acted(ro, word, dryRun); err != nil || dryRun {
		return err
	}
	for _, g := range gatesOf(ro) {
		if g.GetName() == gate && ro.GetWaves()[g.wave].GetName() == wave && !g.passed() {
			a.say(symbolWait, "gate %s of wave %s: %s", gate, wave, gateDetail(g.RolloutGate))
		}
	}
	return nil
}

func newRolloutSkipGateCommand(a *app) *cobra.Command {
	var s steering
	var yes assent
	var c gateChoice
	cmd := a.steeringCommand("skip-gate "+rolloutArgument+" --reason TEXT", "Pass a gate over", &s, func(ctx context.Context, h *hub, _ rolloutRef, ro *adminv1.Rollout) error {
		g, err := c.choose(ro, "")
		if err != nil {
			return err
		}
		if err := a.assure(ctx, yes, s.dryRun, decisionLines(ro, g, "skip a gate of")); err != nil {
			return err
		}
		request := &adminv1.SkipGateRequest{App: s.of(ro), Wave: ro.GetWaves()[g.wave].GetName(), Gate: g.GetName()}
		ro, err = call(ctx, a, "skip a gate of", ro, func(ctx context.Context) (*adminv1.SkipGateResponse, error) { return h.rollouts.SkipGate(ctx, request) })
		if err != nil {
			return err
		}
		if err := a.acted(ro, "goes on without gate "+g.GetName(), s.dryRun); err != nil {
			return err
		}
		a.sayStill(ro, s.dryRun)
		return nil
	})
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if strings.TrimSpace(s.reason) == "" {
			return usagef(cmd, "--reason is required: a gate is not passed over without one")
		}
		return run(cmd, args)
	}
	cmd.Long = "Pass a gate over, whatever it says or would say. The gate keeps who passed it over and why: -o json of the\n" +
		"rollout has it, and rollout watch and events tell it."
	cmd.Example = `  fleetctl rollout skip-gate ks/podinfo --gate error-rate --reason "Prometheus is down, looked at the logs"`
	c.addFlags(a, cmd)
	yes.addFlags(cmd)
	return cmd
}
