package rollout

import (
	"fmt"
	"slices"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Probe is one who asks for an analysis or a webhook, and what the answers were so far.
type Probe struct {
	// Cluster by id; empty: the hub.
	Cluster string `json:"cluster,omitempty"`
	// Attempt is the number of the last question, of all that the gate has asked; Asked when it was asked, zero: it was answered. Due is the next one.
	Attempt int       `json:"attempt,omitempty"`
	Asked   time.Time `json:"asked,omitzero"`
	Due     time.Time `json:"due,omitzero"`
	// Passed, Failed and NoData are answers; Errors those in a row that were none.
	Passed, Failed, NoData, Errors int
	// Done: no more is asked.
	Done bool `json:"done,omitempty"`
}

// Measurement is one answer.
type Measurement struct {
	At      time.Time `json:"at"`
	Cluster string    `json:"cluster,omitempty"`
	Value   float64   `json:"value"`
	Result  Result    `json:"result"`
	Message string    `json:"message,omitempty"`
}

// Result is what an answer says.
type Result = fleet.GateResult

// The results.
const (
	ResultPass   = fleet.ResultPass
	ResultFail   = fleet.ResultFail
	ResultNoData = fleet.ResultNoData
	ResultError  = fleet.ResultError
	ResultAgain  = fleet.ResultAgain
)

const (
	// maxMeasurements bounds those that are kept.
	maxMeasurements = 20
	// unanswered is how long an answer is waited for: who was asked may be gone.
	unanswered = 2 * time.Minute
	// maxBackOff bounds the pause before a webhook that fails is asked again.
	maxBackOff = 5 * time.Minute
	// askedAtOnce bounds the questions of one gate that are not answered yet. An answer makes room for the next.
	askedAtOnce = 64
)

// probe asks what is due, and judges the answers.
func (t *turn) probe(g *Gate, policy fleet.Gate, at place) {
	t.probes(g, scopeOf(policy))
	failed, undecided, left := "", "", 0
	room := askedAtOnce
	for _, p := range g.Probes {
		if !p.Asked.IsZero() {
			room--
		}
	}
	for i := range g.Probes {
		p := &g.Probes[i]
		if !p.Asked.IsZero() && t.after(p.Asked, unanswered) {
			t.answer(g, p, policy, Measurement{At: t.Now, Cluster: t.nameOf(p.Cluster), Result: ResultAgain, Message: "the hub that asked is gone: it is asked anew"})
		}
		outcome, why := verdict(p, policy)
		switch {
		case outcome == GateFailed && p.Cluster == "":
			failed = why + after(": ", g.lastBad(""))
		case outcome == GateFailed:
			p.Done = true
			if m := t.member(p.Cluster); m != nil && m.Phase == MemberSucceeded {
				t.fail(m, FailureAnalysis, "gate "+g.Name+": "+why+after(": ", g.lastBad(m.Name)))
			}
		case outcome == GateInconclusive:
			undecided = why + after(": ", g.lastBad(t.nameOf(p.Cluster)))
		case outcome == GatePassed:
			p.Done = true
		default:
			left++
			if t.ask(g, p, policy, at, room > 0) {
				room--
			}
		}
	}
	switch message := t.breach(); {
	case message != "":
		g.Detail = "too many clusters are bad" // it does not pass: those that are tried again are asked again
	case failed != "":
		g.Phase, g.Detail = GateFailed, failed
	case undecided != "":
		g.Phase, g.Detail = GateInconclusive, undecided
	case len(g.Probes) == 0 && t.totals(t.of(t.ro.Wave)).Stale > 0:
		g.Detail = "every cluster that has succeeded is out of reach"
	case left == 0:
		g.Phase, g.Detail = GatePassed, "all answers are good"
	default:
		g.Detail = progress(g, policy)
	}
}

func scopeOf(policy fleet.Gate) fleet.GateScope {
	if policy.Analysis != nil {
		return policy.Analysis.Scope
	}
	return policy.Webhook.Scope
}

// probes are the hub, or the clusters of the wave that have succeeded; one that has not been heard for long is not waited
// for.
func (t *turn) probes(g *Gate, scope fleet.GateScope) {
	if scope == fleet.ScopeHub {
		if len(g.Probes) == 0 {
			g.Probes = []Probe{{Due: t.Now}}
		}
		return
	}
	wanted := func(cluster string) bool {
		m := t.member(cluster)
		return m != nil && m.Wave == t.ro.Wave && m.Phase == MemberSucceeded && !t.stale(m)
	}
	g.Probes = slices.DeleteFunc(g.Probes, func(p Probe) bool { return !p.Done && !wanted(p.Cluster) })
	known := map[string]bool{}
	for _, p := range g.Probes {
		known[p.Cluster] = true
	}
	for i := range t.ro.Members {
		if m := &t.ro.Members[i]; wanted(m.Cluster) && !known[m.Cluster] {
			g.Probes = append(g.Probes, Probe{Cluster: m.Cluster, Due: t.Now})
		}
	}
}

// ask has a question asked that is due, if there is room, and reports whether it is. A cluster that is away is asked when
// it is back. A step that carries out a command asks nothing: nobody would make its Checks.
func (t *turn) ask(g *Gate, p *Probe, policy fleet.Gate, at place, room bool) bool {
	if !p.Asked.IsZero() || !room || !t.due(p.Due) {
		return false
	}
	cluster := t.site(p.Cluster)
	switch {
	case p.Cluster != "" && (cluster == nil || !cluster.Connected):
		return false
	case t.commanded:
		t.due(t.Now.Add(time.Millisecond))
		return false
	}
	g.Asked++
	p.Attempt = g.Asked
	p.Asked = t.Now
	t.due(t.Now.Add(unanswered))
	w := t.ro.Waves[at.wave]
	check := Check{
		Rollout: t.ro.ID, Wave: at.wave, After: at.after, Gate: at.gate, Cluster: p.Cluster, Attempt: p.Attempt,
		Spec: policy, App: t.Key, Target: t.ro.Target, WaveName: w.Name, Phase: w.Phase,
	}
	t.checks = append(t.checks, check)
	if last := &t.checks[len(t.checks)-1]; p.Cluster != "" {
		last.Name, last.Clusters = cluster.Name, []string{cluster.Name}
	} else {
		last.Clusters = t.succeeded(at.wave)
	}
	return true
}

// succeeded are the names of the clusters of a wave and those before that have succeeded.
func (t *turn) succeeded(wave int) (names []string) {
	for i := range t.ro.Members {
		if m := &t.ro.Members[i]; m.Wave <= wave && m.Phase == MemberSucceeded {
			names = append(names, m.Name)
		}
	}
	return names
}

// answer takes the answer to a question.
func (t *turn) answer(g *Gate, p *Probe, policy fleet.Gate, m Measurement) {
	p.Asked = noTime
	if m.Result != ResultError {
		p.Errors = 0
	}
	switch m.Result {
	case ResultPass:
		p.Passed++
	case ResultFail:
		p.Failed++
	case ResultNoData:
		p.NoData++
	case ResultError:
		p.Errors++
	}
	p.Due = t.Now.Add(p.pause(policy))
	g.Measurements = append(g.Measurements, m)
	if n := len(g.Measurements) - maxMeasurements; n > 0 {
		g.Measurements = slices.Delete(g.Measurements, 0, n)
	}
}

// pause is how long is waited before the next question. A webhook that fails is asked less and less often.
func (p *Probe) pause(policy fleet.Gate) time.Duration {
	if policy.Analysis != nil {
		return policy.Analysis.Interval.Duration
	}
	pause := policy.Webhook.Poll.Duration
	for range p.Errors - 1 {
		pause = min(2*pause, max(policy.Webhook.Poll.Duration, maxBackOff))
	}
	return pause
}

// verdict is what the answers of one who asks come to; GateRunning: more are needed.
func verdict(p *Probe, policy fleet.Gate) (GatePhase, string) {
	if p.Done {
		return GatePassed, ""
	}
	if w := policy.Webhook; w != nil {
		switch {
		case p.Failed > 0:
			return GateFailed, "it says no"
		case p.Passed > 0:
			return GatePassed, ""
		case p.Errors > *w.Retries:
			return GateInconclusive, number(p.Errors, "request failed", "requests in a row failed")
		}
		return GateRunning, ""
	}
	a := policy.Analysis
	failed, noData, passed := p.Failed, p.NoData, p.Passed
	switch a.OnNoData {
	case fleet.NoDataFail:
		failed, noData = failed+noData, 0
	case fleet.NoDataPass:
		passed, noData = passed+noData, 0
	}
	switch {
	case failed > a.FailureLimit:
		return GateFailed, fmt.Sprintf("%s bad, %d may be", number(failed, "value is", "values are"), a.FailureLimit)
	case p.Errors > *a.ErrorLimit:
		return GateInconclusive, number(p.Errors, "query failed", "queries in a row failed")
	case noData > a.InconclusiveLimit:
		return GateInconclusive, fmt.Sprintf("%s there was no data, %d may be", number(noData, "time", "times"), a.InconclusiveLimit)
	case passed+failed+noData >= a.Count:
		return GatePassed, ""
	}
	return GateRunning, ""
}

// progress says how far a gate is.
func progress(g *Gate, policy fleet.Gate) string {
	done := 0
	for _, p := range g.Probes {
		if p.Done {
			done++
		}
	}
	text := "waits for an answer"
	if len(g.Probes) > 1 {
		text = fmt.Sprintf("%d of %d clusters have answered", done, len(g.Probes))
	} else if a := policy.Analysis; a != nil && len(g.Probes) == 1 {
		text = fmt.Sprintf("%d of %d measurements", g.Probes[0].Passed+g.Probes[0].Failed+g.Probes[0].NoData, a.Count)
	}
	return text
}

// lastBad is what was said by the last answer that did not pass, of a cluster by name; empty: of the hub.
func (g *Gate) lastBad(cluster string) string {
	for _, m := range slices.Backward(g.Measurements) {
		if m.Cluster == cluster && m.Result != ResultPass && m.Result != ResultAgain {
			return m.Message
		}
	}
	return ""
}

func (t *turn) nameOf(cluster string) string {
	if s := t.site(cluster); s != nil {
		return s.Name
	}
	return cluster
}
