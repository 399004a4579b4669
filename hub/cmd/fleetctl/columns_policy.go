package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"flotilla.dev/flotilla/pkg/fleet"
)

// policyColumns are those of RolloutPolicies.
func policyColumns() (normal, wide []column) {
	normal = []column{
		textColumn("WAVES", func(o *object) string { return waveNames(policyOf(o)) }),
		textColumn("GATES", func(o *object) string { return fmt.Sprint(gateCount(policyOf(o))) }),
		textColumn("MAX UNAVAILABLE", func(o *object) string { return policyOf(o).MaxUnavailable.String() }),
		textColumn("ON FAILURE", func(o *object) string { return string(policyOf(o).OnFailure.Action) }),
		textColumn("WINDOWS", func(o *object) string { return fmt.Sprint(len(policyOf(o).Windows)) }),
		ageColumn,
	}
	wide = []column{
		textColumn("ON NEW REVISION", func(o *object) string { return string(policyOf(o).OnNewRevision) }),
		textColumn("UNMATCHED", func(o *object) string { return string(policyOf(o).Unmatched) }),
		textColumn("AUTO START", func(o *object) string { return title(*policyOf(o).AutoStart) }),
	}
	return normal, wide
}

// policyOf is the spec of a RolloutPolicy with its defaults.
func policyOf(o *object) fleet.RolloutPolicy {
	var spec fleet.RolloutPolicy
	_ = json.Unmarshal(o.Spec, &spec) // the hub validated it; a newer one shows as far as it is known
	return spec.WithDefaults()
}

func waveNames(p fleet.RolloutPolicy) string {
	var names []string
	for _, w := range p.Waves {
		names = append(names, w.Name)
	}
	return strings.Join(names, ",")
}

func gateCount(p fleet.RolloutPolicy) (n int) {
	for _, w := range p.Waves {
		n += len(w.Before) + len(w.After)
	}
	return n
}
