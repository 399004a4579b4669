package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/pkg/fleet"
)

// verdict is what a look at an object says about an expectation.
type verdict int

const (
	pending verdict = iota
	met
	// lost: it will not be met until somebody changes something.
	lost
)

// expectation is what one waits for an object to be.
type expectation struct {
	// text completes "waiting for ks/app to ...".
	text string
	// judge looks at the object, which is nil while it is not there, and says why it is not met.
	judge func(ctx context.Context, o *object) (v verdict, why string, err error)
	// absence: the object's not being there is what is waited for, not a mistake.
	absence bool
}

// expectReady is met by Ready=True about the present spec, and lost when the object is suspended or stalled, or a person has to act
// before its Rollout goes on.
func expectReady() expectation {
	return expectation{text: "be ready", judge: onlyPresent(func(o *object) (verdict, string) {
		switch {
		case o.current() && o.is("Ready") && o.arrived():
			return met, ""
		case o.suspended() || stalled(o) || awaitsPerson(o):
			return lost, standstill(o)
		}
		return pending, readiness(o)
	})}
}

// expectFirstLook is expectReady that is lost once a look at the present spec has failed, whether or not the hub tries again:
// who has just made a source is there to correct it. With requestedAt, the look is the one asked for then, or a later one.
func expectFirstLook(requestedAt string) expectation {
	ready := expectReady()
	return expectation{text: ready.text, judge: func(ctx context.Context, o *object) (verdict, string, error) {
		if o != nil && !o.suspended() && requestedAt != "" && !handled(o.Status.LastHandledReconcileAt, requestedAt) {
			return pending, "the look that was asked for is not made yet: " + readiness(o), nil
		}
		v, why, err := ready.judge(ctx, o)
		if v == pending && o != nil && o.current() && o.condition("Ready").Status == string(fleet.False) {
			v = lost
		}
		return v, why, err
	}}
}

// expectRevision is met once the object is at the revision: all of it, its hash, or the first 7 digits or more of that.
// It is lost as expectReady is, but for an App that stands still at another revision: this one may mend it.
func expectRevision(revision string) expectation {
	return expectation{text: "be at revision " + revision, judge: onlyPresent(func(o *object) (verdict, string) {
		switch {
		case atRevision(o.revision(), revision):
			return met, ""
		case o.suspended() || (stalled(o) || awaitsPerson(o)) && (!o.kind.App || atRevision(o.Status.LastAttemptedRevision, revision)):
			return lost, standstill(o)
		}
		return pending, fmt.Sprintf("at %s, tries %s: %s", orNothing(o.revision()), orNothing(o.Status.LastAttemptedRevision), readiness(o))
	})}
}

// atRevision reports whether a revision that an object has is the one that a person means, as the hub understands it.
func atRevision(have, want string) bool { return fleet.Revision(have).NamedBy(want) }

// expectCondition is met once the condition of that type has that status; Ready=True is lost as expectReady is.
func expectCondition(name, value string) expectation {
	wantsReady := strings.EqualFold(name, "Ready") && strings.EqualFold(value, string(fleet.True))
	return expectation{text: "have " + name + "=" + value, judge: onlyPresent(func(o *object) (verdict, string) {
		i := slices.IndexFunc(o.Status.Conditions, func(c condition) bool { return strings.EqualFold(c.Type, name) })
		switch {
		case i >= 0 && strings.EqualFold(o.Status.Conditions[i].Status, value) && o.current():
			return met, ""
		case wantsReady && (o.suspended() || stalled(o) || awaitsPerson(o)):
			return lost, standstill(o)
		case i < 0:
			return pending, "has no condition " + name
		}
		return pending, conditionText(o.Status.Conditions[i])
	})}
}

// expectDeleted is met once the object is not there.
func expectDeleted() expectation {
	return expectation{text: "be gone", absence: true, judge: func(_ context.Context, o *object) (verdict, string, error) {
		if o == nil {
			return met, "", nil
		}
		return pending, "is still there: " + readiness(o), nil
	}}
}

// expectKnown is met once a cluster's spoke does not report an App any more that the hub knows nothing of.
func expectKnown(app ref) expectation {
	unknown := strings.Join([]string{app.kind.Name, app.namespace, app.name}, "/")
	return expectation{text: "hear that " + app.String() + " ends", absence: true, judge: func(_ context.Context, o *object) (verdict, string, error) {
		if o == nil || !slices.Contains(o.Status.UnknownAssignments, unknown) {
			return met, "", nil
		}
		return pending, "its spoke has not heard of it yet: " + conditionText(o.condition("Connected")), nil
	}}
}

// expectConnected is met once the cluster's spoke is connected.
func expectConnected() expectation {
	return expectation{text: "be connected", judge: onlyPresent(func(o *object) (verdict, string) {
		if o.is("Connected") || o.kind.App && o.Status.Fleet.Connected {
			return met, ""
		}
		return pending, conditionText(o.condition("Connected"))
	})}
}

// onlyPresent judges an object that is there; one that is not yet is pending.
func onlyPresent(judge func(*object) (verdict, string)) func(context.Context, *object) (verdict, string, error) {
	return func(_ context.Context, o *object) (verdict, string, error) {
		if o == nil {
			return pending, "is not there yet", nil
		}
		v, why := judge(o)
		return v, why, nil
	}
}

// parseExpectation reads --for.
func parseExpectation(cmd *cobra.Command, text string) (expectation, error) {
	word, value, given := strings.Cut(text, "=")
	switch strings.ToLower(word) {
	case "ready":
		if !given {
			return expectReady(), nil
		}
	case "revision":
		if value != "" {
			return expectRevision(value), nil
		}
	case "condition":
		name, status, given := strings.Cut(value, "=")
		if !given {
			status = string(fleet.True)
		}
		if name != "" && status != "" {
			return expectCondition(name, status), nil
		}
	case "delete":
		if !given {
			return expectDeleted(), nil
		}
	case "connected":
		if !given {
			return expectConnected(), nil
		}
	}
	return expectation{}, usagef(cmd, "--for=%s is not ready, revision=SHA, condition=TYPE[=STATUS], delete or connected", text)
}

// stalled reports whether the object says that trying again cannot help.
func stalled(o *object) bool { return o.current() && o.is("Stalled") }

// awaitsPerson reports whether a person has to act before an App's Rollout goes on: it is paused, or does not begin by itself.
func awaitsPerson(o *object) bool {
	if !o.current() {
		return false
	}
	switch o.condition("Ready").Reason {
	case "RolloutPaused":
		return true
	case "RolloutQueued":
		return o.Status.Rollout.QueuedReason == "AwaitingStart" || o.Status.Rollout.QueuedReason == "UnmatchedClusters"
	}
	return false
}

// standstill says why an object that is suspended or stalled, or for which a person has to act, stays as it is.
func standstill(o *object) string {
	if o.suspended() {
		return "it is suspended: fleetctl resume " + o.ref().command()
	}
	return readiness(o)
}

// readiness is the Ready condition in words.
func readiness(o *object) string {
	c := o.condition("Ready")
	if s := o.condition("Stalled"); s.Status == string(fleet.True) {
		c = s
	}
	text := conditionText(c)
	if notReady := o.Status.Fleet.NotReady; len(notReady) > 0 && !strings.Contains(text, notReady[0].Object.String()) {
		text += " [" + notReadyText(notReady[0]) + "]"
	}
	return text
}

func conditionText(c condition) string {
	text := c.Type + " is " + c.Status
	if c.Reason != "" {
		text += " (" + c.Reason + ")"
	}
	if c.Message != "" {
		text += ": " + c.Message
	}
	return text
}

func notReadyText(o fleet.ObjectStatus) string {
	text := o.Object.String() + " " + o.Status
	if o.Message != "" {
		text += ": " + o.Message
	}
	return text
}

func orNothing(revision string) string {
	if revision == "" {
		return "none"
	}
	return revision
}
