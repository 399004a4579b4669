package rollout_test

import (
	"fmt"
	"time"

	"pgregory.net/rapid"

	"flotilla.dev/flotilla/pkg/fleet"
)

func drawAmount(t *rapid.T, name string, least int) *fleet.Amount {
	if rapid.Bool().Draw(t, name+" in percent") {
		return fleet.Percent(rapid.IntRange(max(1, least*10), 100).Draw(t, name))
	}
	return fleet.Clusters(rapid.IntRange(least, 8).Draw(t, name))
}

// chance is true once in n.
func chance(t *rapid.T, n int, what string) bool { return rapid.IntRange(0, n-1).Draw(t, what) == n-1 }

// drawPolicy draws any policy, with times so short that a schedule sees them pass.
func drawPolicy(t *rapid.T) fleet.RolloutPolicy {
	p := fleet.RolloutPolicy{MaxUnavailable: drawAmount(t, "maxUnavailable", 1)}
	for i := range rapid.IntRange(1, 6).Draw(t, "waves") {
		w := drawWave(t, fmt.Sprintf("w%d", i))
		if p.Waves = append(p.Waves, w); w.Limit == nil && w.Select == nil {
			break // it takes every cluster that is left
		}
	}
	p.Cluster.ProgressDeadline = fleet.Lasting(3 * time.Minute)
	p.Cluster.UnreachableTimeout = fleet.Lasting(2 * time.Minute)
	p.Cluster.RegressionWindow = fleet.Lasting(time.Minute)
	if chance(t, 3, "minReady") {
		p.Cluster.MinReady = fleet.Lasting(30 * time.Second)
	}
	p.Cluster.Retries = rapid.IntRange(0, 2).Draw(t, "retries")
	p.Cluster.OnLost = rapid.SampledFrom([]fleet.OnLost{fleet.LostFail, fleet.LostDefer}).Draw(t, "onLost")
	p.Cluster.PreexistingUnhealthy = rapid.SampledFrom([]fleet.PreexistingUnhealthy{fleet.UnhealthyDefer, fleet.UnhealthyUpdate, fleet.UnhealthyBlock}).Draw(t, "preexisting")
	p.OnFailure.Action = rapid.SampledFrom([]fleet.FailureAction{fleet.HaltOnFailure, fleet.RollbackOnFailure}).Draw(t, "onFailure")
	p.OnFailure.Scope = rapid.SampledFrom([]fleet.FailureScope{fleet.ScopeUpdated, fleet.ScopeFailed, fleet.ScopeWave}).Draw(t, "scope")
	p.OnFailure.AllowUninstall = rapid.Bool().Draw(t, "allowUninstall")
	if rapid.Bool().Draw(t, "slow rollback") {
		p.OnFailure.MaxConcurrent = drawAmount(t, "rollback maxConcurrent", 1)
	}
	p.OnNewRevision = rapid.SampledFrom([]fleet.OnNewRevision{fleet.QueueNew, fleet.SupersedeOld}).Draw(t, "onNewRevision")
	p.OnInconclusive = rapid.SampledFrom([]fleet.OnInconclusive{fleet.InconclusivePause, fleet.InconclusiveHalt}).Draw(t, "onInconclusive")
	if chance(t, 5, "unmatched") {
		p.Unmatched = rapid.SampledFrom([]fleet.Unmatched{fleet.UnmatchedExclude, fleet.UnmatchedReject}).Draw(t, "those")
	}
	if chance(t, 6, "windows") {
		p.Windows = []fleet.Window{{Cron: "*/20 * * * *", Duration: fleet.Lasting(10 * time.Minute)}}
	}
	if chance(t, 8, "waits for somebody") {
		p.AutoStart = new(false)
	}
	p.CatchUp.MaxConcurrent = drawAmount(t, "catchUp", 1)
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	return p
}

func drawWave(t *rapid.T, name string) fleet.Wave {
	w := fleet.Wave{Name: name, MaxConcurrent: drawAmount(t, "maxConcurrent", 1), MaxFailures: drawAmount(t, "maxFailures", 0)}
	if rapid.Bool().Draw(t, "limited") {
		w.Limit = drawAmount(t, "limit", 1)
	}
	if rapid.Bool().Draw(t, "selects") {
		w.Select = &fleet.Selector{MatchLabels: map[string]string{"ring": fmt.Sprint(rapid.IntRange(0, 3).Draw(t, "ring"))}}
	}
	if chance(t, 4, "ordered") {
		w.Order = rapid.SampledFrom([]fleet.WaveOrder{{By: fleet.ByLabel, Key: "rank"}, {By: fleet.ByShuffle}}).Draw(t, "order")
	}
	w.Required = chance(t, 12, "required")
	if chance(t, 5, "before") {
		w.Before = []fleet.Gate{drawGate(t, "b", fleet.ScopeHub)}
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "after") {
		w.After = append(w.After, drawGate(t, fmt.Sprintf("a%d", i), fleet.ScopeHub, fleet.ScopeCluster))
	}
	w.CoverageTimeout = fleet.Lasting(10 * time.Minute)
	if rapid.Bool().Draw(t, "covers") {
		w.MinUpdated = drawAmount(t, "minUpdated", 0)
	}
	return w
}

func drawGate(t *rapid.T, name string, scopes ...fleet.GateScope) fleet.Gate {
	scope := rapid.SampledFrom(scopes)
	switch rapid.IntRange(0, 5).Draw(t, "gate") {
	case 3:
		return fleet.Gate{Analysis: &fleet.AnalysisGate{Name: name, Scope: scope.Draw(t, "scope"), Query: "q", Provider: fleet.MetricProvider{Type: "prometheus", Address: "http://prometheus.example.com"}, Max: new(1.0), Interval: fleet.Lasting(20 * time.Second),
			Count: rapid.IntRange(1, 3).Draw(t, "count"), FailureLimit: rapid.IntRange(0, 1).Draw(t, "failureLimit"), ErrorLimit: new(rapid.IntRange(0, 2).Draw(t, "errorLimit")),
			InconclusiveLimit: rapid.IntRange(0, 1).Draw(t, "inconclusiveLimit"), OnNoData: rapid.SampledFrom([]fleet.OnNoData{fleet.NoDataInconclusive, fleet.NoDataFail, fleet.NoDataPass}).Draw(t, "onNoData")}}
	case 4:
		return fleet.Gate{Approval: &fleet.ApprovalGate{Name: name, Approvers: rapid.SampledFrom([][]string{nil, {"user:a", "user:b", "group:of-c"}}).Draw(t, "approvers"),
			MinApprovers: rapid.IntRange(1, 2).Draw(t, "minApprovers"), AllowSelf: rapid.Bool().Draw(t, "allowSelf"), Timeout: fleet.Lasting(5 * time.Minute),
			OnTimeout: rapid.SampledFrom([]fleet.OnInconclusive{fleet.InconclusivePause, fleet.InconclusiveHalt}).Draw(t, "onTimeout")}}
	case 5:
		return fleet.Gate{Webhook: &fleet.WebhookGate{Name: name, URL: "http://example.com", Scope: scope.Draw(t, "scope"), Retries: new(rapid.IntRange(0, 2).Draw(t, "retries")),
			Poll: fleet.Lasting(10 * time.Second)}}
	}
	return fleet.Gate{Soak: &fleet.SoakGate{Name: name, Duration: fleet.Lasting(time.Minute)}}
}
