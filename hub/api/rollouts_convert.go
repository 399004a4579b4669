package api

import (
	"cmp"
	"encoding/json"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// rolloutMessage is a Rollout as clients read it, without its clusters.
func rolloutMessage(r rollout.Rollout, known knownReleases, now time.Time) (*adminv1.Rollout, error) {
	policy, err := json.Marshal(r.Policy)
	if err != nil {
		return nil, err
	}
	app := r.Release.App
	m := &adminv1.Rollout{
		Id: r.ID, AppKind: app.Kind, AppNamespace: app.Namespace, AppName: app.Name, Target: r.Target.String(), Revision: string(known.revisions[r.Target]), Version: r.Version,
		Kind: string(r.Kind), Phase: string(r.Phase), Reason: string(r.Reason), Message: r.Message, Policy: policy, PlanDigest: digestText(r.Plan),
		Wave: int32(r.Wave), MaxUnavailable: int32(r.MaxUnavailable), Totals: totalsMessage(r.Totals()), Created: timeMessage(r.Created),
		Started: timeMessage(r.Started), Finished: timeMessage(r.Finished), SupersededBy: r.SupersededBy, Actor: r.Actor, ChangeCause: r.ChangeCause,
		Verdict: cmp.Or(string(known.outcomes[r.Target]), unknownVerdict),
	}
	for i, w := range r.Waves {
		m.Waves = append(m.Waves, waveMessage(w, policyOf(r, i), now))
	}
	return m, nil
}

// unknownVerdict is that of a Release of which no Rollout has found anything, or so long ago that it is forgotten.
const unknownVerdict = "Unknown"

// policyOf is what the policy says of a wave; the last one may be there that it does not name.
func policyOf(r rollout.Rollout, wave int) fleet.Wave {
	if wave < len(r.Policy.Waves) {
		return r.Policy.Waves[wave]
	}
	return r.Policy.RestWave()
}

func waveMessage(w rollout.Wave, policy fleet.Wave, now time.Time) *adminv1.RolloutWave {
	return &adminv1.RolloutWave{
		Name: w.Name, Phase: string(w.Phase), Size: int32(w.Size), MaxConcurrent: int32(w.MaxConcurrent), MaxFailures: int32(w.MaxFailures),
		MinUpdated: int32(w.MinUpdated), Before: gateMessages(w.Before, policy.Before, now), After: gateMessages(w.After, policy.After, now),
		Totals: totalsMessage(w.Totals), Entered: timeMessage(w.Entered),
	}
}

// gateMessages are the gates of one side of a wave, each with what the policy says of it.
func gateMessages(gates []rollout.Gate, policies []fleet.Gate, now time.Time) []*adminv1.RolloutGate {
	var messages []*adminv1.RolloutGate
	for i, g := range gates {
		m := &adminv1.RolloutGate{Name: g.Name, Type: string(g.Type), Phase: string(g.Phase), Detail: g.Detail}
		if elapsed := g.Elapsed.Elapsed(now); elapsed > 0 {
			m.Elapsed = durationpb.New(elapsed)
		}
		if i < len(policies) {
			switch policy := policies[i]; {
			case policy.Soak != nil:
				m.Required = durationMessage(policy.Soak.Duration)
			case policy.Approval != nil:
				m.Required, m.Approvers = durationMessage(policy.Approval.Timeout), policy.Approval.Approvers
			}
		}
		for _, n := range g.Measurements {
			m.Measurements = append(m.Measurements, &adminv1.RolloutMeasurement{
				At: timeMessage(n.At), Cluster: n.Cluster, Value: n.Value, Result: string(n.Result), Message: n.Message,
			})
		}
		for _, d := range g.Decisions {
			m.Decisions = append(m.Decisions, &adminv1.RolloutDecision{Principal: d.Principal, Approve: d.Approve, Comment: d.Comment, At: timeMessage(d.At)})
		}
		messages = append(messages, m)
	}
	return messages
}

func totalsMessage(n rollout.Totals) *adminv1.RolloutTotals {
	return &adminv1.RolloutTotals{
		Size: int32(n.Size), Pending: int32(n.Pending), InFlight: int32(n.InFlight), Succeeded: int32(n.Succeeded), Failed: int32(n.Failed),
		Deferred: int32(n.Deferred), Skipped: int32(n.Skipped), Removed: int32(n.Removed), RolledBack: int32(n.RolledBack),
		HadFailed: int32(n.HadFailed), Unavailable: int32(n.Unavailable), Stale: int32(n.Stale),
	}
}

// timeMessage is nil for a time that is not set.
func timeMessage(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// durationMessage is nil for a duration that is not set.
func durationMessage(d *fleet.Duration) *durationpb.Duration {
	if d == nil {
		return nil
	}
	return durationpb.New(d.Duration)
}

// digestText is empty for a digest that is none.
func digestText(d fleet.Digest) string {
	if d.IsZero() {
		return ""
	}
	return d.String()
}
