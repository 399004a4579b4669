package rollout

import (
	"fmt"
	"slices"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Decide is a person's word at an approval.
type Decide struct {
	// Principal and Groups are who decides: "user:admin", "group:sre".
	Principal  string
	Groups     []string
	Wave, Gate string
	// Plan that the decision is about; zero: the one there is.
	Plan    fleet.Digest
	Approve bool
	Comment string
}

func (c Decide) apply(t *turn) error {
	if err := t.underWay(); err != nil {
		return err
	}
	if !c.Plan.IsZero() && c.Plan != t.ro.Plan {
		return t.refuse("its plan is %s, not %s", t.ro.Plan, c.Plan)
	}
	wave, g, policy, err := t.find(c.Wave, c.Gate, fleet.GateApproval)
	if err != nil {
		return err
	}
	approvers := policy.Approval.Approvers
	if len(approvers) > 0 && !slices.Contains(approvers, c.Principal) && !slices.ContainsFunc(c.Groups, func(group string) bool { return slices.Contains(approvers, group) }) {
		return fmt.Errorf("%w: %s is not among the approvers of gate %s: %v", fleet.ErrDenied, c.Principal, c.Gate, approvers)
	}
	if c.Approve && c.Principal == t.ro.Actor && !policy.Approval.AllowSelf {
		return t.refuse("%s started it, and somebody else has to approve: allowSelf of gate %s is not set", c.Principal, g.Name)
	}
	for _, d := range g.Decisions {
		if d.Principal == c.Principal {
			if d.Approve == c.Approve {
				return nil
			}
			return t.refuse("%s has decided on gate %s already", c.Principal, g.Name)
		}
	}
	switch {
	case g.Phase.open() && !c.Approve:
		return t.refuse("gate %s of wave %s has passed; pause, cancel or take the Rollout back", g.Name, wave)
	case g.Phase == GateWaiting:
		return t.refuse("gate %s of wave %s is not reached yet: it is decided once what comes before is there to see", g.Name, wave)
	}
	g.Decisions = append(g.Decisions, Decision{Principal: c.Principal, Approve: c.Approve, Comment: c.Comment, At: t.Now})
	word := "Rejected"
	if c.Approve {
		word = "Approved"
	}
	t.tell(Event{Type: word, Actor: c.Principal, Wave: wave, Gate: g.Name, Message: c.Comment})
	if !c.Approve && !g.Phase.open() && (t.ro.Phase == Running || t.ro.Phase == Paused) {
		t.approval(g, policy.Approval) // a word against it stops it at once, paused or not
	}
	return nil
}

// SkipGate passes a gate over.
type SkipGate struct{ Actor, Wave, Gate, Reason string }

func (c SkipGate) apply(t *turn) error {
	if err := t.underWay(); err != nil {
		return err
	}
	wave, g, _, err := t.find(c.Wave, c.Gate, "")
	switch {
	case err != nil:
		return err
	case c.Reason == "":
		return fmt.Errorf("%w: a gate is not passed over without a reason", fleet.ErrInvalid)
	case g.Phase.open():
		return nil
	}
	g.Phase, g.Detail = GateOverridden, "passed over by "+c.Actor+": "+c.Reason
	g.Elapsed.run(t.Now, false)
	t.tell(Event{Type: "GateOverridden", Actor: c.Actor, Wave: wave, Gate: g.Name, Message: c.Reason})
	return nil
}

// find finds a gate by its name, and its wave; an empty name is any.
func (t *turn) find(wave, gate string, of fleet.GateType) (string, *Gate, fleet.Gate, error) {
	var found *Gate
	var in string
	var policy fleet.Gate
	var known []string
	for i := range t.ro.Waves {
		w, p := &t.ro.Waves[i], t.ro.policyOf(i)
		if wave != "" && w.Name != wave {
			continue
		}
		for _, side := range []struct {
			gates    []Gate
			policies []fleet.Gate
		}{{w.Before, p.Before}, {w.After, p.After}} {
			for j := range side.gates {
				g := &side.gates[j]
				if of != "" && g.Type != of {
					continue
				}
				known = append(known, w.Name+"/"+g.Name)
				if gate != "" && g.Name != gate {
					continue
				}
				// Of several, the one that is waited for.
				if found == nil || found.Phase.open() && !g.Phase.open() {
					in, found, policy = w.Name, g, side.policies[j]
				}
			}
		}
	}
	if found == nil {
		return "", nil, policy, fmt.Errorf("gate %s of wave %s: %w; there are %v", orAny(gate), orAny(wave), fleet.ErrNotFound, known)
	}
	return in, found, policy, nil
}

func orAny(name string) string {
	if name == "" {
		return "(any)"
	}
	return name
}
