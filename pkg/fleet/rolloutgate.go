package fleet

import (
	"cmp"
	"time"
)

// Gate is something that has to pass before a Rollout goes on. Exactly one of its fields is set.
type Gate struct {
	Soak     *SoakGate     `json:"soak,omitempty"`
	Analysis *AnalysisGate `json:"analysis,omitempty"`
	Approval *ApprovalGate `json:"approval,omitempty"`
	Webhook  *WebhookGate  `json:"webhook,omitempty"`
}

// GateType is a kind of Gate.
type GateType string

// The kinds of Gates.
const (
	GateSoak     GateType = "Soak"
	GateAnalysis GateType = "Analysis"
	GateApproval GateType = "Approval"
	GateWebhook  GateType = "Webhook"
)

// Type is the kind of the gate; empty: it is none.
func (g Gate) Type() GateType {
	switch {
	case g.Soak != nil:
		return GateSoak
	case g.Analysis != nil:
		return GateAnalysis
	case g.Approval != nil:
		return GateApproval
	case g.Webhook != nil:
		return GateWebhook
	}
	return ""
}

// Name of the gate in its wave: the given one, or what it is.
func (g Gate) Name() string {
	switch {
	case g.Soak != nil:
		return cmp.Or(g.Soak.Name, "soak")
	case g.Analysis != nil:
		return cmp.Or(g.Analysis.Name, "analysis")
	case g.Approval != nil:
		return cmp.Or(g.Approval.Name, "approval")
	case g.Webhook != nil:
		return cmp.Or(g.Webhook.Name, "webhook")
	}
	return ""
}

// SoakGate is a time for which all clusters that have succeeded have to be available.
type SoakGate struct {
	Name     string    `json:"name,omitempty"`
	Duration *Duration `json:"duration"`
}

// AnalysisGate is a query whose results say whether a Release is good.
type AnalysisGate struct {
	Name     string         `json:"name,omitempty"`
	Provider MetricProvider `json:"provider"`
	// Scope is Hub (default): one query; or Cluster: each cluster of the wave asks its own, and one whose answers are bad
	// has failed.
	Scope GateScope `json:"scope,omitempty"`
	// Query is a template: `{{ .Clusters }}` are the names of the clusters that have succeeded, in the wave and before, joined
	// by "|", `{{ .Cluster }}` the one that asks (of scope Cluster; `{{ .Clusters }}` is the same there), `{{ .Interval }}` the interval as Prometheus writes it, `{{ .App }}` and `{{ .Namespace }}` the App.
	Query string `json:"query"`
	// Interval between measurements (default 1m) and Count of those that have to be made (default 1).
	Interval *Duration `json:"interval,omitempty"`
	Count    int       `json:"count,omitempty"`
	// Min and Max are what a good value is between; at least one is given.
	Min *float64 `json:"min,omitempty"`
	Max *float64 `json:"max,omitempty"`
	// FailureLimit is how many values may be bad (default 0), ErrorLimit how many queries in a row may fail (default 4),
	// InconclusiveLimit how many may have no data (default 0).
	FailureLimit      int  `json:"failureLimit,omitempty"`
	ErrorLimit        *int `json:"errorLimit,omitempty"`
	InconclusiveLimit int  `json:"inconclusiveLimit,omitempty"`
	// OnNoData says what no data, or NaN, counts as: Inconclusive (default), Fail or Pass.
	OnNoData OnNoData `json:"onNoData,omitempty"`
	// SamplesQuery, with a result below MinSamples, says that there is no data.
	SamplesQuery string   `json:"samplesQuery,omitempty"`
	MinSamples   *float64 `json:"minSamples,omitempty"`
}

// MetricProvider is what is asked.
type MetricProvider struct {
	// Type is prometheus: anything that has Prometheus' HTTP API.
	Type    string `json:"type"`
	Address string `json:"address"`
	// SecretRef names a Secret with username and password, or a token (bearerToken), and ca.crt: at the hub, or in the
	// cluster that asks.
	SecretRef *NamespacedRef `json:"secretRef,omitempty"`
	// Headers are sent along, such as a tenant's X-Scope-OrgID. They are shown to whoever reads the policy.
	Headers map[string]string `json:"headers,omitempty"`
}

// GateScope says who asks.
type GateScope string

// The values of GateScope.
const (
	ScopeHub     GateScope = "Hub"
	ScopeCluster GateScope = "Cluster"
)

// OnNoData says what no data counts as.
type OnNoData string

// The values of OnNoData.
const (
	NoDataInconclusive OnNoData = "Inconclusive"
	NoDataFail         OnNoData = "Fail"
	NoDataPass         OnNoData = "Pass"
)

// ApprovalGate is people's word.
type ApprovalGate struct {
	Name string `json:"name,omitempty"`
	// Approvers are "user:NAME" and "group:NAME"; empty: anyone who may decide on Rollouts.
	Approvers []string `json:"approvers,omitempty"`
	// MinApprovers is how many have to approve; default 1.
	MinApprovers int `json:"minApprovers,omitempty"`
	// AllowSelf lets the one who started the Rollout count.
	AllowSelf bool `json:"allowSelf,omitempty"`
	// Timeout after which OnTimeout happens, Pause (default) or Halt; absent: never.
	Timeout   *Duration      `json:"timeout,omitempty"`
	OnTimeout OnInconclusive `json:"onTimeout,omitempty"`
}

// WebhookGate is a request whose answer decides: 200 passes, 202 is asked again, 4xx fails, anything else is tried again, as are
// 408, 425 and 429.
type WebhookGate struct {
	Name string `json:"name,omitempty"`
	URL  string `json:"url"`
	// Scope is Hub (default): one request; or Cluster: each cluster of the wave makes its own.
	Scope GateScope `json:"scope,omitempty"`
	// Timeout of one request (default 10s, at most 1m), Poll the pause before it is made again (default 10s), Retries how many may
	// fail in a row (default 4).
	Timeout *Duration `json:"timeout,omitempty"`
	Poll    *Duration `json:"poll,omitempty"`
	Retries *int      `json:"retries,omitempty"`
	// HMACSecretRef names a Secret whose key `token` signs the body: header X-Signature, as Flux's generic-hmac does.
	HMACSecretRef *NamespacedRef    `json:"hmacSecretRef,omitempty"`
	Metadata      map[string]string `json:"metadata,omitempty"`
}

// MaxWebhookTimeout bounds the time of one request.
const MaxWebhookTimeout = time.Minute

// inARow is how many requests of a gate may fail one after the other.
const inARow = 4

func gatesWithDefaults(gates []Gate) []Gate {
	filled := make([]Gate, len(gates))
	for i, g := range gates {
		filled[i] = g.withDefaults()
	}
	return filled
}

func (g Gate) withDefaults() Gate {
	switch {
	case g.Analysis != nil:
		a := *g.Analysis
		a.Scope = cmp.Or(a.Scope, ScopeHub)
		a.Interval = cmp.Or(a.Interval, Lasting(time.Minute))
		a.Count = cmp.Or(a.Count, 1)
		a.ErrorLimit = cmp.Or(a.ErrorLimit, new(inARow))
		a.OnNoData = cmp.Or(a.OnNoData, NoDataInconclusive)
		g.Analysis = &a
	case g.Approval != nil:
		a := *g.Approval
		a.MinApprovers = cmp.Or(a.MinApprovers, 1)
		a.OnTimeout = cmp.Or(a.OnTimeout, InconclusivePause)
		g.Approval = &a
	case g.Webhook != nil:
		w := *g.Webhook
		w.Scope = cmp.Or(w.Scope, ScopeHub)
		w.Timeout = cmp.Or(w.Timeout, Lasting(10*time.Second))
		w.Poll = cmp.Or(w.Poll, Lasting(10*time.Second))
		w.Retries = cmp.Or(w.Retries, new(inARow))
		g.Webhook = &w
	}
	return g
}
