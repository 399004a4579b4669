package main

import (
	"encoding/json"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// rolloutDocument is a Rollout for programs.
type rolloutDocument struct {
	ID             string        `json:"id"`
	App            appDocument   `json:"app"`
	Target         string        `json:"target"`
	Revision       string        `json:"revision,omitempty"`
	Version        uint64        `json:"version"`
	Direction      string        `json:"direction"`
	Phase          string        `json:"phase"`
	Reason         string        `json:"reason,omitempty"`
	Message        string        `json:"message,omitempty"`
	Verdict        string        `json:"verdict,omitempty"`
	Awaits         string        `json:"awaits,omitempty"`
	Plan           string        `json:"planDigest"`
	Wave           int32         `json:"wave"`
	Waves          []waveDoc     `json:"waves"`
	Totals         totalsDoc     `json:"totals"`
	MaxUnavailable int32         `json:"maxUnavailable"`
	Actor          string        `json:"actor"`
	ChangeCause    string        `json:"changeCause,omitempty"`
	Created        string        `json:"createdAt,omitempty"`
	Started        string        `json:"startedAt,omitempty"`
	Finished       string        `json:"finishedAt,omitempty"`
	SupersededBy   string        `json:"supersededBy,omitempty"`
	Policy         any           `json:"policy,omitempty"`
	Clusters       []*clusterDoc `json:"clusters,omitempty"`
	// Left is absent where it is empty, or was not asked for.
	Left []leftDoc `json:"notTargeted,omitempty"`
}

// leftDoc is a cluster that does not get the Release.
type leftDoc struct {
	Cluster string `json:"cluster"`
	Why     string `json:"why"`
}

type appDocument struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

type waveDoc struct {
	Name          string    `json:"name"`
	Phase         string    `json:"phase"`
	MaxConcurrent int32     `json:"maxConcurrent"`
	MaxFailures   int32     `json:"maxFailures"`
	MinUpdated    int32     `json:"minUpdated"`
	Before        []gateDoc `json:"before"`
	After         []gateDoc `json:"after"`
	Totals        totalsDoc `json:"totals"`
	Entered       string    `json:"enteredAt,omitempty"`
	// Least is what a planned wave takes at least.
	Least string `json:"takesAtLeast,omitempty"`
}

type gateDoc struct {
	Name         string           `json:"name"`
	Type         string           `json:"type"`
	Phase        string           `json:"phase"`
	Detail       string           `json:"detail,omitempty"`
	Elapsed      string           `json:"elapsed,omitempty"`
	Required     string           `json:"required,omitempty"`
	Approvers    []string         `json:"approvers,omitempty"`
	Decisions    []decisionDoc    `json:"decisions,omitempty"`
	Measurements []measurementDoc `json:"measurements,omitempty"`
}

type decisionDoc struct {
	Principal string `json:"principal"`
	Approve   bool   `json:"approve"`
	Comment   string `json:"comment,omitempty"`
	At        string `json:"at"`
}

type measurementDoc struct {
	At      string  `json:"at"`
	Cluster string  `json:"cluster,omitempty"`
	Value   float64 `json:"value"`
	Result  string  `json:"result"`
	Message string  `json:"message,omitempty"`
}

type totalsDoc struct {
	Size        int32 `json:"size"`
	Pending     int32 `json:"pending"`
	InFlight    int32 `json:"inFlight"`
	Succeeded   int32 `json:"succeeded"`
	Failed      int32 `json:"failed"`
	Deferred    int32 `json:"deferred"`
	Skipped     int32 `json:"skipped"`
	Removed     int32 `json:"removed"`
	RolledBack  int32 `json:"rolledBack"`
	HadFailed   int32 `json:"hadFailed"`
	Unavailable int32 `json:"unavailable"`
	Stale       int32 `json:"stale"`
}

type clusterDoc struct {
	Cluster   string `json:"cluster"`
	Wave      int32  `json:"wave"`
	Turn      int32  `json:"turn"`
	Phase     string `json:"phase"`
	Failure   string `json:"failure,omitempty"`
	Message   string `json:"message,omitempty"`
	WaitsFor  string `json:"waitsFor,omitempty"`
	Base      string `json:"base,omitempty"`
	Attempt   int32  `json:"attempt"`
	Connected bool   `json:"connected"`
	Available bool   `json:"available"`
	Stale     bool   `json:"stale"`
	// HoldsPrune: it holds deletions that nobody has approved yet.
	HoldsPrune bool   `json:"holdsPrune"`
	Left       string `json:"deadlineLeft,omitempty"`
	Since      string `json:"since,omitempty"`
}

func newRolloutDocument(ro *adminv1.Rollout, clusters []*adminv1.RolloutCluster, left []*adminv1.NotTargeted) rolloutDocument {
	d := rolloutDocument{
		ID: ro.GetId(), App: appDocument{ro.GetAppKind(), ro.GetAppNamespace(), ro.GetAppName()}, Target: ro.GetTarget(), Revision: ro.GetRevision(),
		Version: ro.GetVersion(), Direction: ro.GetKind(), Phase: ro.GetPhase(), Reason: ro.GetReason(), Message: ro.GetMessage(),
		Verdict: ro.GetVerdict(), Awaits: awaited(ro), Plan: ro.GetPlanDigest(), Wave: ro.GetWave(), Waves: []waveDoc{}, Totals: newTotals(ro.GetTotals()),
		MaxUnavailable: ro.GetMaxUnavailable(), Actor: ro.GetActor(), ChangeCause: ro.GetChangeCause(),
		Created: stamp(ro.GetCreated()), Started: stamp(ro.GetStarted()), Finished: stamp(ro.GetFinished()), SupersededBy: ro.GetSupersededBy(),
	}
	if json.Valid(ro.GetPolicy()) {
		d.Policy = json.RawMessage(ro.GetPolicy())
	}
	for _, w := range ro.GetWaves() {
		d.Waves = append(d.Waves, waveDoc{
			Name: w.GetName(), Phase: w.GetPhase(), MaxConcurrent: w.GetMaxConcurrent(), MaxFailures: w.GetMaxFailures(), MinUpdated: w.GetMinUpdated(),
			Before: newGates(w.GetBefore()), After: newGates(w.GetAfter()), Totals: newTotals(w.GetTotals()), Entered: stamp(w.GetEntered()),
		})
	}
	for _, c := range clusters {
		d.Clusters = append(d.Clusters, newClusterDoc(c))
	}
	for _, c := range left {
		d.Left = append(d.Left, leftDoc{c.GetCluster(), c.GetWhy()})
	}
	return d
}

func newPlanDocument(plan *adminv1.PlanRolloutResponse) rolloutDocument {
	d := newRolloutDocument(plan.GetRollout(), plan.GetClusters(), plan.GetNotTargeted())
	for i, least := range plan.GetLeast()[:min(len(plan.GetLeast()), len(d.Waves))] {
		d.Waves[i].Least = lasting(least)
	}
	return d
}

func newGates(gates []*adminv1.RolloutGate) []gateDoc {
	all := []gateDoc{}
	for _, g := range gates {
		d := gateDoc{Name: g.GetName(), Type: g.GetType(), Phase: g.GetPhase(), Detail: g.GetDetail(), Elapsed: lasting(g.GetElapsed()),
			Required: lasting(g.GetRequired()), Approvers: g.GetApprovers()}
		for _, w := range g.GetDecisions() {
			d.Decisions = append(d.Decisions, decisionDoc{w.GetPrincipal(), w.GetApprove(), w.GetComment(), stamp(w.GetAt())})
		}
		for _, m := range g.GetMeasurements() {
			d.Measurements = append(d.Measurements, measurementDoc{stamp(m.GetAt()), m.GetCluster(), m.GetValue(), m.GetResult(), m.GetMessage()})
		}
		all = append(all, d)
	}
	return all
}

func newTotals(t *adminv1.RolloutTotals) totalsDoc {
	return totalsDoc{
		Size: t.GetSize(), Pending: t.GetPending(), InFlight: t.GetInFlight(), Succeeded: t.GetSucceeded(), Failed: t.GetFailed(), Deferred: t.GetDeferred(),
		Skipped: t.GetSkipped(), Removed: t.GetRemoved(), RolledBack: t.GetRolledBack(), HadFailed: t.GetHadFailed(),
		Unavailable: t.GetUnavailable(), Stale: t.GetStale(),
	}
}

func newClusterDoc(c *adminv1.RolloutCluster) *clusterDoc {
	return &clusterDoc{
		Cluster: c.GetCluster(), Wave: c.GetWave(), Turn: c.GetTurn(), Phase: c.GetPhase(), Failure: c.GetFailure(), Message: c.GetMessage(),
		WaitsFor: c.GetWaitsFor(), Base: c.GetBase(), Attempt: c.GetAttempt(), Connected: c.GetConnected(), Available: c.GetAvailable(),
		Stale: c.GetStale(), HoldsPrune: c.GetHoldsPrune(), Left: lasting(c.GetDeadlineLeft()), Since: stamp(c.GetSince()),
	}
}

// lasting is a length of time for programs; empty: none.
func lasting(d *durationpb.Duration) string {
	if d == nil {
		return ""
	}
	return d.AsDuration().Round(time.Millisecond).String()
}
