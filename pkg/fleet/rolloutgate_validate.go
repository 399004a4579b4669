package fleet

import (
	"net/url"
	"slices"
	"strings"
)

// validateGates checks the gates of one side of a wave. Path is theirs.
func validateGates(fields *Fields, path string, gates []Gate) {
	for i, g := range gates {
		at := indexed(path, i)
		if n := g.kinds(); n != 1 {
			fields.Refuse(at, "is %d gates; exactly one of soak, analysis, approval and webhook is to be set", n)
			continue
		}
		if name := g.Name(); !waveName.MatchString(name) {
			fields.Refuse(at, "the name %q is not lower case letters, digits and '-', at most 63", name)
		} else if slices.ContainsFunc(gates[:i], func(other Gate) bool { return other.Name() == name }) {
			fields.Refuse(at, "%q is the name of two gates: give each a name", name)
		}
		switch {
		case g.Soak != nil:
			if g.Soak.Duration == nil {
				fields.Require(at+".soak.duration", "")
			}
			g.Soak.Duration.validate(fields, at+".soak.duration", false)
		case g.Analysis != nil:
			g.Analysis.validate(fields, at+".analysis")
		case g.Approval != nil:
			g.Approval.validate(fields, at+".approval")
		case g.Webhook != nil:
			g.Webhook.validate(fields, at+".webhook")
		}
	}
}

func (g Gate) kinds() (n int) {
	for _, set := range []bool{g.Soak != nil, g.Analysis != nil, g.Approval != nil, g.Webhook != nil} {
		if set {
			n++
		}
	}
	return n
}

func (a AnalysisGate) validate(fields *Fields, at string) {
	if a.Provider.Type != "prometheus" {
		fields.Refuse(at+".provider.type", "%q is not prometheus", a.Provider.Type)
	}
	validateAddress(fields, at+".provider.address", a.Provider.Address)
	a.Provider.SecretRef.validate(fields, at+".provider.secretRef")
	oneOf(fields, at+".scope", a.Scope, ScopeHub, ScopeCluster)
	fields.Require(at+".query", strings.TrimSpace(a.Query))
	for name, query := range map[string]string{"query": a.Query, "samplesQuery": a.SamplesQuery} {
		if _, err := ExpandQuery(query, QueryValues{}); err != nil {
			fields.Refuse(at+"."+name, "%s", strings.TrimPrefix(err.Error(), ErrInvalid.Error()+": "))
		}
	}
	a.Interval.validate(fields, at+".interval", false)
	if a.Min == nil && a.Max == nil {
		fields.Refuse(at, "min or max is required: without one every value is good")
	}
	if a.Min != nil && a.Max != nil && *a.Min > *a.Max {
		fields.Refuse(at+".min", "%g is above max, %g", *a.Min, *a.Max)
	}
	for _, limit := range []struct {
		field string
		n     int
	}{{"count", a.Count}, {"failureLimit", a.FailureLimit}, {"errorLimit", orZero(a.ErrorLimit)}, {"inconclusiveLimit", a.InconclusiveLimit}} {
		if limit.n < 0 {
			fields.Refuse(at+"."+limit.field, "%d is below zero", limit.n)
		}
	}
	oneOf(fields, at+".onNoData", a.OnNoData, NoDataInconclusive, NoDataFail, NoDataPass)
	if (a.SamplesQuery == "") != (a.MinSamples == nil) {
		fields.Refuse(at+".samplesQuery", "and minSamples belong together")
	}
}

func (a ApprovalGate) validate(fields *Fields, at string) {
	for i, who := range a.Approvers {
		kind, name, _ := strings.Cut(who, ":")
		if kind != "user" && kind != "group" || name == "" {
			fields.Refuse(indexed(at+".approvers", i), `%q is not "user:NAME" or "group:NAME"`, who)
		}
		if slices.Index(a.Approvers, who) < i {
			fields.Refuse(indexed(at+".approvers", i), "%q is named twice", who)
		}
	}
	switch n := len(a.Approvers); {
	case a.MinApprovers < 0:
		fields.Refuse(at+".minApprovers", "%d is below zero", a.MinApprovers)
	case n > 0 && a.MinApprovers > n:
		fields.Refuse(at+".minApprovers", "%d can never approve: approvers has %d", a.MinApprovers, n)
	}
	a.Timeout.validate(fields, at+".timeout", false)
	oneOf(fields, at+".onTimeout", a.OnTimeout, InconclusivePause, InconclusiveHalt)
}

func (w WebhookGate) validate(fields *Fields, at string) {
	validateAddress(fields, at+".url", w.URL)
	oneOf(fields, at+".scope", w.Scope, ScopeHub, ScopeCluster)
	w.Timeout.validate(fields, at+".timeout", false)
	if w.Timeout != nil && w.Timeout.Duration > MaxWebhookTimeout {
		fields.Refuse(at+".timeout", "%s is more than %s, which is as long as a Rollout waits for an answer: have the webhook answer 202 until it knows", w.Timeout.Duration, MaxWebhookTimeout)
	}
	w.Poll.validate(fields, at+".poll", false)
	if orZero(w.Retries) < 0 {
		fields.Refuse(at+".retries", "%d is below zero", *w.Retries)
	}
	w.HMACSecretRef.validate(fields, at+".hmacSecretRef")
}

func validateAddress(fields *Fields, path, address string) {
	if address == "" {
		fields.Require(path, "")
		return
	}
	u, err := url.Parse(address)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		fields.Refuse(path, "is not an address such as https://prometheus.example.com")
	case u.User != nil:
		fields.Refuse(path, "holds a password: put it into a Secret")
	}
}

func (r *NamespacedRef) validate(fields *Fields, path string) {
	if r != nil {
		fields.Require(path+".namespace", r.Namespace)
		fields.Require(path+".name", r.Name)
	}
}

func orZero(n *int) int {
	if n == nil {
		return 0
	}
	return *n
}
