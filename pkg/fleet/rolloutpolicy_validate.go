package fleet

import (
	"regexp"
	"strings"
)

const (
	maxWaves    = 64
	maxGates    = 64
	maxAnalyses = 16
)

// holdAWave is what is to be done in place of a budget of none.
const holdAWave = "use before: [approval] to hold a wave"

var waveName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// Validate returns the FieldErrors of p. Whether its windows ever open, and its queries can be read, is left to those who
// know cron and templates.
func (p RolloutPolicy) Validate() error {
	var fields Fields
	switch n := len(p.Waves); {
	case n == 0:
		fields.Refuse("spec.waves", "at least one wave is required; `- {name: all}` is every cluster")
	case n > maxWaves:
		fields.Refuse("spec.waves", "has %d waves; %d are allowed", n, maxWaves)
	}
	names, all := map[string]bool{}, ""
	for i, w := range p.Waves {
		at := indexed("spec.waves", i)
		if all != "" {
			fields.Refuse(at, "gets no cluster: wave %q before it takes every one; give that a limit, or put it last", all)
		}
		if all == "" && w.Limit == nil && (w.Select == nil || w.Select.IsEmpty()) {
			all = w.Name
		}
		switch {
		case w.Name == "":
			fields.Require(at+".name", "")
		case !waveName.MatchString(w.Name):
			fields.Refuse(at+".name", "%q is not lower case letters, digits and '-', at most 63", w.Name)
		case names[w.Name]:
			fields.Refuse(at+".name", "%q is the name of two waves", w.Name)
		}
		names[w.Name] = true
		w.validate(&fields, at)
	}
	p.MaxUnavailable.validate(&fields, "spec.maxUnavailable", false, holdAWave)
	p.CatchUp.MaxConcurrent.validate(&fields, "spec.catchUp.maxConcurrent", false, "leave clusters out by the Placement, or hold them")
	p.OnFailure.MaxConcurrent.validate(&fields, "spec.onFailure.maxConcurrent", false, "`action: Halt` rolls nothing back")
	p.Cluster.validate(&fields)
	oneOf(&fields, "spec.unmatched", p.Unmatched, UnmatchedLast, UnmatchedExclude, UnmatchedReject)
	oneOf(&fields, "spec.onNewRevision", p.OnNewRevision, QueueNew, SupersedeOld)
	oneOf(&fields, "spec.onFailure.action", p.OnFailure.Action, HaltOnFailure, RollbackOnFailure)
	oneOf(&fields, "spec.onFailure.scope", p.OnFailure.Scope, ScopeFailed, ScopeWave, ScopeUpdated)
	oneOf(&fields, "spec.onInconclusive", p.OnInconclusive, InconclusivePause, InconclusiveHalt)
	for i, w := range p.Windows {
		at := indexed("spec.windows", i)
		fields.Require(at+".cron", w.Cron)
		if w.Duration == nil {
			fields.Require(at+".duration", "")
		}
		w.Duration.validate(&fields, at+".duration", false)
	}
	return fields.Err()
}

func (w Wave) validate(fields *Fields, at string) {
	if w.Select != nil {
		w.Select.validate(fields, at+".select")
	}
	w.Limit.validate(fields, at+".limit", false, "leave the wave out")
	w.MaxConcurrent.validate(fields, at+".maxConcurrent", false, holdAWave)
	w.MaxFailures.validate(fields, at+".maxFailures", true, "")
	w.MinUpdated.validate(fields, at+".minUpdated", true, "")
	w.CoverageTimeout.validate(fields, at+".coverageTimeout", false)
	oneOf(fields, at+".order.by", w.Order.By, ByName, ByLabel, ByShuffle)
	switch {
	case w.Order.By == ByLabel && w.Order.Key == "":
		fields.Refuse(at+".order.key", "is required with `by: Label`")
	case w.Order.By != ByLabel && w.Order.Key != "":
		fields.Refuse(at+".order.key", "is for `by: Label`")
	}
	validateGates(fields, at+".before", w.Before)
	for i, g := range w.Before {
		if g.ofClusters() {
			fields.Refuse(indexed(at+".before", i)+".scope", "Cluster is for `after`: before it, no cluster of the wave has been updated")
		}
	}
	validateGates(fields, at+".after", w.After)
	if n := len(w.Before) + len(w.After); n > maxGates {
		fields.Refuse(at, "has %d gates; %d are allowed", n, maxGates)
	}
	if n := analyses(w.Before) + analyses(w.After); n > maxAnalyses {
		fields.Refuse(at, "has %d analyses; %d are allowed", n, maxAnalyses)
	}
}

// ofClusters reports whether each cluster of the wave is asked.
func (g Gate) ofClusters() bool {
	return g.Analysis != nil && g.Analysis.Scope == ScopeCluster || g.Webhook != nil && g.Webhook.Scope == ScopeCluster
}

func analyses(gates []Gate) (n int) {
	for _, g := range gates {
		if g.Analysis != nil {
			n++
		}
	}
	return n
}

func (m MemberPolicy) validate(fields *Fields) {
	m.ProgressDeadline.validate(fields, "spec.cluster.progressDeadline", false)
	m.MinReady.validate(fields, "spec.cluster.minReady", true)
	m.RegressionWindow.validate(fields, "spec.cluster.regressionWindow", false)
	m.UnreachableTimeout.validate(fields, "spec.cluster.unreachableTimeout", false)
	if m.Retries < 0 || m.Retries > 100 {
		fields.Refuse("spec.cluster.retries", "%d is not between 0 and 100", m.Retries)
	}
	oneOf(fields, "spec.cluster.onLost", m.OnLost, LostFail, LostDefer)
	oneOf(fields, "spec.cluster.preexistingUnhealthy", m.PreexistingUnhealthy, UnhealthyDefer, UnhealthyUpdate, UnhealthyBlock)
}

// validate records what is wrong with d; none is right.
func (d *Duration) validate(fields *Fields, path string, zero bool) {
	switch {
	case d == nil:
	case d.problem != "":
		fields.Refuse(path, "%s", d.problem)
	case d.Duration < 0, d.Duration == 0 && !zero:
		fields.Refuse(path, "must be more than zero")
	}
}

// oneOf refuses a value that is not one of those; empty is the default.
func oneOf[T ~string](fields *Fields, path string, value T, values ...T) {
	names := make([]string, len(values))
	for i, v := range values {
		if value == "" || value == v {
			return
		}
		names[i] = string(v)
	}
	last := len(names) - 1
	fields.Refuse(path, "%q is not %s or %s", string(value), strings.Join(names[:last], ", "), names[last])
}
