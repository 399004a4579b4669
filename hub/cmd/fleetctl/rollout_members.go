package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// memberChoice says which clusters of a Rollout are meant.
type memberChoice struct {
	allFailed, allDeferred, allStale bool
}

// text names the clusters.
func (c memberChoice) text(clusters []string) string {
	var parts []string
	if len(clusters) > 0 {
		parts = append(parts, strings.Join(clusters, ", "))
	}
	parts = append(parts, c.words("every cluster that failed", "every cluster that is deferred", "every cluster that is not heard of")...)
	return strings.Join(parts, " and ")
}

// state is what clusters are that are chosen by it.
func (c memberChoice) state() string {
	return strings.Join(c.words("Failed", "Deferred", "out of reach for long since it succeeded"), " or ")
}

// words are those of the flags that are given.
func (c memberChoice) words(failed, deferred, stale string) (words []string) {
	for _, flag := range []struct {
		given bool
		word  string
	}{{c.allFailed, failed}, {c.allDeferred, deferred}, {c.allStale, stale}} {
		if flag.given {
			words = append(words, flag.word)
		}
	}
	return words
}

func newRolloutRetryClusterCommand(a *app) *cobra.Command {
	s := steering{overToo: true, noneToo: true, queuedToo: true} // clusters catch up all the same
	var c memberChoice
	cmd := a.memberCommand("retry-cluster "+rolloutArgument+" CLUSTER... | --all-failed", &s, &c, func(ctx context.Context, h *hub, r rolloutRef, ro *adminv1.Rollout, clusters []string) error {
		request := s.of(ro)
		none := ro.GetId() != "" && !over(ro) && ro.GetTotals().GetFailed() == 0
		if over(ro) { // it is about the App, whose clusters catch up
			if err := a.onlyOne(ctx, h, "retry-cluster", r, ro); err != nil {
				return err
			}
			request.Id = ""
		}
		after, err := call(ctx, a, "retry clusters of", ro, func(ctx context.Context) (*adminv1.RetryClustersResponse, error) {
			return h.rollouts.RetryClusters(ctx, &adminv1.RetryClustersRequest{App: request, Clusters: clusters, AllFailed: c.allFailed})
		})
		if err != nil {
			return err
		}
		word := "tries again: " + c.text(clusters)
		if len(clusters) == 0 && none && after.GetVersion() == ro.GetVersion() {
			word = "tries again: every cluster that did not catch up; none of its own has failed"
		}
		if after != nil {
			ro = after
		}
		if err := a.acted(ro, word, s.dryRun); err != nil {
			return err
		}
		a.sayStill(ro, s.dryRun)
		return nil
	})
	cmd.Short = "Have clusters that failed updated once more"
	cmd.Long = "Have clusters that failed updated once more, and those which were to catch up with the release that is good, and did not\n" +
		"(event CatchUpFailed): they went back to what they had, or stayed at the release where the app's annotation\n" +
		"fleet.flotilla.dev/no-rollback says so. When no rollout is under way, it is about these alone."
	cmd.Example = `  fleetctl rollout retry-cluster ks/podinfo eu-7 eu-8
  fleetctl rollout retry-cluster ro-7k2f --all-failed && fleetctl rollout resume ro-7k2f`
	cmd.Flags().BoolVar(&c.allFailed, "all-failed", false, "every cluster that failed")
	return cmd
}

func newRolloutSkipClusterCommand(a *app) *cobra.Command {
	var s steering
	var c memberChoice
	var yes assent
	cmd := a.memberCommand("skip-cluster "+rolloutArgument+" CLUSTER... | --all-failed | --all-deferred | --all-stale", &s, &c, func(ctx context.Context, h *hub, _ rolloutRef, ro *adminv1.Rollout, clusters []string) error {
		lines := []string{fmt.Sprintf("%s of %s goes on without %s: they stay at what they have until this rollout, or a later one, "+
			"has succeeded, and catch up then; fleetctl freeze keeps them out", ro.GetId(), appOf(ro), c.text(clusters))}
		if !yes.yes && !s.dryRun {
			more, err := h.meansForWave(ctx, ro, c, clusters)
			if err != nil {
				return a.rolloutFailure("list the clusters of "+ro.GetId(), rolloutRef{id: ro.GetId()}, err)
			}
			lines = append(lines, more...)
		}
		if err := a.assure(ctx, yes, s.dryRun, lines); err != nil {
			return err
		}
		n := ro.GetTotals()
		none := (!c.allFailed || n.GetFailed() == 0) && (!c.allDeferred || n.GetDeferred() == 0) && (!c.allStale || n.GetStale() == 0)
		ro, err := call(ctx, a, "skip clusters of", ro, func(ctx context.Context) (*adminv1.SkipClustersResponse, error) {
			return h.rollouts.SkipClusters(ctx, &adminv1.SkipClustersRequest{
				App: s.of(ro), Clusters: clusters, AllFailed: c.allFailed, AllDeferred: c.allDeferred, AllStale: c.allStale,
			})
		})
		if err != nil {
			return err
		}
		if len(clusters) == 0 && none {
			return a.acted(ro, "passes nobody over: no cluster is "+c.state(), s.dryRun)
		}
		if err := a.acted(ro, "goes on without "+c.text(clusters), s.dryRun); err != nil {
			return err
		}
		a.sayStill(ro, s.dryRun)
		return nil
	})
	cmd.Short = "Pass clusters over"
	cmd.Long = "Pass clusters over: they count neither as updated nor as failed, and stay at what they have until this rollout, or a later\n" +
		"one, has succeeded. Then they catch up with it; where this one is cancelled they keep what they have until another one\n" +
		"succeeds. `fleetctl freeze CLUSTER` keeps a cluster out for longer, until unfreeze."
	cmd.Example = `  fleetctl rollout skip-cluster ks/podinfo eu-9 --reason "is being rebuilt"
  fleetctl rollout skip-cluster ro-7k2f --all-deferred -y`
	cmd.Flags().BoolVar(&c.allFailed, "all-failed", false, "every cluster that failed")
	cmd.Flags().BoolVar(&c.allDeferred, "all-deferred", false, "every cluster that is deferred: offline, held, or not well before")
	cmd.Flags().BoolVar(&c.allStale, "all-stale", false, "every cluster that has not been heard of for long")
	yes.addFlags(cmd)
	return cmd
}

// meansForWave says what passing clusters over means for the wave under way: that nothing in it counts as failed any more, or
// nothing counts at all.
func (h *hub) meansForWave(ctx context.Context, ro *adminv1.Rollout, c memberChoice, clusters []string) ([]string, error) {
	wave := waveUnderWay(ro)
	if wave == nil || ro.GetPhase() == phaseRollingBack { // the hub refuses it then
		return nil, nil
	}
	members, _, err := h.rolloutClusters(ctx, &adminv1.ListRolloutClustersRequest{App: exactly(ro), Wave: wave.GetName()}, 0)
	if err != nil {
		return nil, err
	}
	counted, failed, left, leftFailed, waits := 0, 0, 0, 0, 0
	for _, m := range members {
		if m.GetPhase() == "Skipped" || m.GetPhase() == "Removed" {
			continue
		}
		counted++
		fails := m.GetPhase() == "Failed"
		skips := slices.Contains(clusters, m.GetCluster()) || c.allFailed && fails ||
			c.allDeferred && m.GetPhase() == "Deferred" || c.allStale && m.GetStale()
		if fails {
			failed++
		}
		if skips {
			continue
		}
		left++
		switch {
		case fails:
			leftFailed++
		case m.GetPhase() != "Succeeded":
			waits++
		}
	}
	switch {
	case counted > 0 && left == 0 && requires(ro, wave):
		return []string{fmt.Sprintf("nobody is left in wave %s, and the policy requires somebody: the rollout halts (EmptyRequiredWave), "+
			"unless fleetctl rollout resume %s --accept-coverage takes the wave as it is", wave.GetName(), ro.GetId())}, nil
	case counted > 0 && left == 0:
		goal, why := afterWave(ro), ""
		if goal == comesToItsEnd && endsWithNobody(ro, wave, c) {
			goal, why = "ends as Cancelled", ", since no cluster has the release"
		}
		return []string{fmt.Sprintf("nobody is left in wave %s, which has shown nothing of the release then: the rollout %s %s%s",
			wave.GetName(), goal, once(ro, wave, false), why)}, nil
	case failed > 0 && leftFailed == 0:
		return []string{fmt.Sprintf("that is all that has failed of wave %s: the rollout %s %s", wave.GetName(), afterWave(ro), once(ro, wave, waits > 0))}, nil
	}
	return nil, nil
}

// requires reports whether the policy of a Rollout has it halt where nobody is in the wave.
func requires(ro *adminv1.Rollout, wave *adminv1.RolloutWave) bool {
	var policy fleet.RolloutPolicy
	return json.Unmarshal(ro.GetPolicy(), &policy) == nil && // a newer hub may have what is not known here
		slices.ContainsFunc(policy.Waves, func(w fleet.Wave) bool { return w.Name == wave.GetName() && w.Required })
}

const comesToItsEnd = "comes to its end"

// afterWave says what comes after the wave under way.
func afterWave(ro *adminv1.Rollout) string {
	for _, w := range ro.GetWaves()[ro.GetWave()+1:] {
		if t := w.GetTotals(); t.GetSize() > t.GetSkipped()+t.GetRemoved() || requires(ro, w) {
			return "goes on to wave " + w.GetName()
		}
	}
	return comesToItsEnd
}

// endsWithNobody reports whether no cluster has the Release of a Rollout, whose last wave is passed over, and none comes to it.
func endsWithNobody(ro *adminv1.Rollout, wave *adminv1.RolloutWave, c memberChoice) bool {
	all, of := ro.GetTotals(), wave.GetTotals()
	there := all.GetSucceeded() - of.GetSucceeded()
	if c.allStale {
		there -= all.GetStale() - of.GetStale()
	}
	return ro.GetVerdict() != "Good" && there+all.GetInFlight()-of.GetInFlight() <= 0
}

// once says what has to happen before a Rollout leaves the wave under way, where nothing in it is in its way. With others,
// clusters of it are not there yet.
func once(ro *adminv1.Rollout, wave *adminv1.RolloutWave, others bool) string {
	var parts, gates []string
	if ro.GetPhase() == phaseHalted || ro.GetPhase() == phasePaused {
		parts = append(parts, "it is resumed")
	}
	if others {
		parts = append(parts, "the others are there")
	}
	for _, g := range append(slices.Clone(wave.GetBefore()), wave.GetAfter()...) {
		if !(placedGate{RolloutGate: g}).passed() {
			gates = append(gates, g.GetName())
		}
	}
	switch {
	case len(gates) == 1:
		parts = append(parts, "gate "+gates[0]+" has passed")
	case len(gates) > 1:
		parts = append(parts, "gates "+enumerated(gates)+" have passed")
	case len(parts) == 0:
		return "by that"
	}
	return "once " + enumerated(parts)
}

// enumerated is "a, b and c".
func enumerated(parts []string) string {
	last := len(parts) - 1
	if last <= 0 {
		return strings.Join(parts, "")
	}
	return strings.Join(parts[:last], ", ") + " and " + parts[last]
}

// memberCommand is a steering command with clusters behind the Rollout.
func (a *app) memberCommand(use string, s *steering, c *memberChoice, act func(ctx context.Context, h *hub, r rolloutRef, ro *adminv1.Rollout, clusters []string) error) *cobra.Command {
	var clusters []string
	cmd := a.steeringCommand(use, "", s, func(ctx context.Context, h *hub, r rolloutRef, ro *adminv1.Rollout) error {
		return act(ctx, h, r, ro, clusters)
	})
	run := cmd.RunE
	cmd.Args = between(1, -1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		clusters = args[1:]
		if len(clusters) == 0 && *c == (memberChoice{}) {
			return usagef(cmd, "which clusters? name them, or give one of the --all flags")
		}
		if len(clusters) > 0 && *c != (memberChoice{}) {
			return usagef(cmd, "%s and %s: name clusters, or give the --all flags, and not both", strings.Join(clusters, ", "), c.text(nil))
		}
		if id, is := rolloutID(args[0]); !strings.Contains(args[0], "/") && !is {
			return usagef(cmd, "%q names no rollout: KIND/NAME of an app or an id such as ro-7k2f does, and the clusters come behind it", id)
		}
		return run(cmd, args[:1])
	}
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return a.completeRollouts(cmd, args, typed)
		}
		return a.completeMembers(cmd, args, typed)
	}
	return cmd
}

// sayStill says that a Rollout which was stopped still is.
func (a *app) sayStill(ro *adminv1.Rollout, dryRun bool) {
	if !dryRun && (ro.GetPhase() == phaseHalted || ro.GetPhase() == phasePaused) {
		a.say(symbolWarn, "it goes on with: fleetctl rollout resume %s", ro.GetId())
	}
}
