package api

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
)

// helmCondition is one of Flux's of a HelmRelease beside Ready and Stalled.
type helmCondition struct {
	name string
	of   func(fleet.HelmStatus) fleet.Condition
	// telling are its statuses, the one first that one cluster is enough for to be that of all.
	telling []fleet.ConditionStatus
}

const driftedCondition = "Drifted"

var helmConditions = []helmCondition{
	{"Released", func(s fleet.HelmStatus) fleet.Condition { return s.Released }, []fleet.ConditionStatus{fleet.False, fleet.Unknown, fleet.True}},
	{"TestSuccess", func(s fleet.HelmStatus) fleet.Condition { return s.TestSuccess }, []fleet.ConditionStatus{fleet.False, fleet.Unknown, fleet.True}},
	{"Remediated", func(s fleet.HelmStatus) fleet.Condition { return s.Remediated }, []fleet.ConditionStatus{fleet.False, fleet.Unknown, fleet.True}},
	{driftedCondition, func(s fleet.HelmStatus) fleet.Condition { return s.Drifted }, []fleet.ConditionStatus{fleet.True, fleet.Unknown, fleet.False}},
}

// helmOf is what the spoke told of a HelmRelease; nil: nothing.
func helmOf(i fleet.Instance) *fleet.HelmStatus {
	if i.Assignment.App.Kind != resource.HelmRelease.Name || i.Report == nil || len(i.Report.Detail) == 0 {
		return nil
	}
	var status fleet.HelmStatus
	if json.Unmarshal(i.Report.Detail, &status) != nil {
		return nil // a spoke of another version may have another idea of it
	}
	return &status
}

// standing is the condition in a place, since when it is what it is: but for drift, with the action on its newest release,
// as far as is known.
func (h helmCondition) standing(i fleet.Instance, status fleet.HelmStatus) standing {
	since := i.ReportedAt
	switch {
	case h.name == driftedCondition:
		since = i.DriftedSince
	case len(status.History) > 0:
		since = latest(status.History[0].LastDeployed, i.CreatedAt)
	}
	return ifHeard(i, standing{h.of(status), since})
}

// addHelm adds what the spoke told of a HelmRelease by Flux's names.
func (s *instanceStatus) addHelm(c *conditions, i fleet.Instance, told *fleet.HelmStatus) {
	if told == nil {
		return
	}
	helm := *told
	for _, condition := range helmConditions {
		if condition.of(helm).Status != "" {
			c.add(condition.name, condition.standing(i, helm))
		}
	}
	helm.Released, helm.TestSuccess, helm.Remediated, helm.Drifted, helm.Stalled = fleet.Condition{}, fleet.Condition{}, fleet.Condition{}, fleet.Condition{}, fleet.Condition{}
	// Of what was tried last, the Source's Revision goes before the chart's version: it is as of every App.
	s.observed, _ = json.Marshal(helm) // it was decoded
}

// addHelm adds what the places of a HelmRelease amount to.
func (s *appStatus) addHelm(c *conditions, object *resource.Object, places []place) {
	if object.Kind != resource.HelmRelease.Name {
		return
	}
	if spec, err := resource.Spec[flux.HelmRelease](object); err == nil && spec.Chart != nil {
		at := spec.Source(object.Metadata.Namespace, object.Metadata.Name)
		s.HelmChart = at.Namespace + "/" + at.Name
	}
	for _, condition := range helmConditions {
		if sum, stands := condition.sum(places); stands {
			c.add(condition.name, sum)
		}
	}
}

// sum is the condition of a HelmRelease in the fleet; it stands when some place has it.
func (h helmCondition) sum(places []place) (sum standing, stands bool) {
	by := map[fleet.ConditionStatus][]failure{}
	reasons, first, last := map[fleet.ConditionStatus][]string{}, map[fleet.ConditionStatus]time.Time{}, time.Time{}
	for _, p := range places {
		if p.helm == nil || h.of(*p.helm).Status == "" {
			continue
		}
		there := h.standing(*p.instance, *p.helm)
		by[there.Status] = append(by[there.Status], failure{p.cluster, there.Message})
		reasons[there.Status] = append(reasons[there.Status], there.Reason)
		first[there.Status], last = earliest(first[there.Status], there.since), latest(last, there.since)
	}
	for n, status := range h.telling {
		found := by[status]
		switch {
		case len(found) == 0:
		case n == len(h.telling)-1:
			message := "in " + plural(len(found), "cluster")
			return standing{fleet.Condition{Status: status, Reason: commonest(reasons[status]), Message: message}, last}, true
		default:
			return standing{fleet.Condition{Status: status, Reason: commonest(reasons[status]), Message: grouped(found)}, first[status]}, true
		}
	}
	return sum, false
}

// commonest is the reason that most clusters have; of as many, the one first in the alphabet.
func commonest(reasons []string) string {
	count := map[string]int{}
	for _, reason := range reasons {
		count[reason]++
	}
	return slices.MinFunc(reasons, func(a, b string) int { return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(a, b)) })
}

// beside encodes a status, with what else was observed beside it.
func beside(status any, observed json.RawMessage) ([]byte, error) {
	raw, err := json.Marshal(status)
	if err != nil || len(observed) == 0 {
		return raw, err
	}
	all, own := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	if err := json.Unmarshal(observed, &all); err != nil {
		return nil, fmt.Errorf("what was observed: %w", err)
	}
	if err := json.Unmarshal(raw, &own); err != nil {
		return nil, err
	}
	maps.Copy(all, own)
	return json.Marshal(all)
}

// MarshalJSON adds what was observed.
func (s instanceStatus) MarshalJSON() ([]byte, error) {
	type plain instanceStatus
	return beside(plain(s), s.observed)
}
