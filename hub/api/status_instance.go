package api

import (
	"encoding/json"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

// instanceStatus is the status of an App in one cluster.
type instanceStatus struct {
	ObservedGeneration     int64         `json:"observedGeneration"`
	Conditions             []condition   `json:"conditions"`
	LastAppliedRevision    string        `json:"lastAppliedRevision,omitempty"`
	LastAttemptedRevision  string        `json:"lastAttemptedRevision,omitempty"`
	LastHandledReconcileAt string        `json:"lastHandledReconcileAt,omitempty"`
	Fleet                  instanceFleet `json:"fleet"`
	// observed are more of Flux's fields, of a HelmRelease.
	observed json.RawMessage
}

// instanceFleet is what the fleet adds to the status of an App in one cluster.
type instanceFleet struct {
	Generation       uint64               `json:"generation"`
	Release          string               `json:"release,omitempty"`
	Stage            fleet.Stage          `json:"stage,omitempty"`
	Converged        bool                 `json:"converged"`
	Connected        bool                 `json:"connected"`
	ReportedAt       *time.Time           `json:"reportedAt,omitempty"`
	Objects          int                  `json:"objects"`
	NotReady         []fleet.ObjectStatus `json:"notReady,omitempty"`
	PruneHeld        *fleet.HeldPrune     `json:"pruneHeld,omitempty"`
	DriftCorrections uint64               `json:"driftCorrections"`
}

// statusOfInstance is what one Assignment and its Report amount to, of whose App a generation was observed.
func statusOfInstance(i fleet.Instance, observed int64) instanceStatus {
	status := instanceStatus{ObservedGeneration: observed, LastAttemptedRevision: string(i.Attempted), LastAppliedRevision: string(i.Applied),
		Fleet: instanceFleet{Generation: i.Assignment.Generation, Release: i.Assignment.Release.Digest().String(), Connected: i.Connected}}
	c := conditions{observed: observed}
	now := readyOf(i)
	if now.Status == fleet.True && i.Applied != "" && (now.Message == "" || i.Assignment.App.Kind != resource.HelmRelease.Name) {
		now.Message = "applied revision " + string(i.Applied) // of which the spoke knows the Release only; Helm's has more words
	}
	c.addReady(now)
	helm := helmOf(i)
	if s, stands := stalledOf(i, helm); stands {
		c.add(stalled, s)
	}
	if r := i.Report; r != nil {
		reported := i.ReportedAt.UTC()
		f := &status.Fleet
		f.ReportedAt, f.Stage, f.Converged = &reported, r.Stage, r.Converged && current(i) && i.Connected
		f.Objects, f.NotReady, f.PruneHeld, f.DriftCorrections = r.Objects, r.NotReady, r.HeldPrune, r.DriftCorrections
		status.LastHandledReconcileAt = r.HandledReconcileAt
		c.add(healthy, ifHeard(i, standing{r.Healthy, i.HealthySince}))
		status.addHelm(&c, i, helm)
		if held := r.HeldPrune; held != nil {
			message := held.Reason + ": " + plural(held.Count, "object") + " would be deleted; " + lookAtPrune(i.Assignment.App)
			c.add(pruneHeld, standing{fleet.Condition{Status: fleet.True, Reason: fleet.ReasonPruneHeld, Message: message}, i.HeldSince})
		}
	}
	status.Conditions = c.list
	return status
}

// observedIn is the generation of the declared App that an instance is at: the declared one only when the hub has built
// that, the spoke has spoken of what came of it, and the controls are its; else an older one. 0: it is not declared.
func observedIn(i fleet.Instance, declared *resource.Object, state fleet.AppState) (int64, error) {
	if declared == nil {
		return 0, nil
	}
	app, err := resource.App(declared)
	if err != nil {
		return 0, err
	}
	generation := declared.Metadata.Generation
	a := i.Assignment
	if state.ObservedGeneration == generation && state.Reason == "" && a.State == fleet.Active && a.Release.Digest() == state.Release &&
		a.Controls.OfSpec() == app.Controls(nil).OfSpec() && i.Report != nil && current(i) {
		return generation, nil
	}
	if older := min(generation-1, state.ObservedGeneration); older > 0 {
		return older, nil
	}
	return neverObserved, nil
}

// neverObserved is the observedGeneration of what nobody has looked at, as in Flux.
const neverObserved = -1

// readyOf is the Ready condition of an App in one cluster. What is not heard is never ready, and what was said of
// another Release says nothing of this one.
func readyOf(i fleet.Instance) standing { return ifHeard(i, lastWord(i)) }

// lastWord is what the cluster's spoke last said of being ready. From a pin on nothing is known until it says more.
func lastWord(i fleet.Instance) standing {
	since := i.PinnedAt
	if i.Report != nil && i.Report.Ready.Status == fleet.Unknown {
		since = earliest(since, i.ReadySince)
	}
	switch {
	case i.Report == nil || !current(i):
		return standing{unknown(fleet.ReasonProgressing, "waiting for the cluster to take it up"), since}
	case i.Assignment.State == fleet.Removed:
		return standing{unknown(reasonRemoving, removing(i)), since}
	}
	return standing{i.Report.Ready, i.ReadySince}
}

// ifHeard is the standing that a spoke told, as far as it is heard: while it is not, nothing is known.
func ifHeard(i fleet.Instance, told standing) standing {
	since := latest(told.since, i.ConnectedSince)
	switch {
	case told.Status == fleet.Unknown && i.Connected && told.since.After(i.ConnectedSince):
		since = told.since
	case told.Status == fleet.Unknown: // before the absence, and through it
		since = earliest(told.since, i.AwaySince)
	}
	since = latest(since, i.CreatedAt)
	if i.Connected {
		return standing{told.Condition, since}
	}
	message := "the cluster's spoke has not connected yet"
	if wasSeen(i.LastSeen) {
		message = "the cluster was last heard of at " + i.LastSeen.UTC().Format(time.RFC3339)
	}
	return standing{unknown(fleet.ReasonUnreachable, message), since}
}

// wasSeen tells a time from the one that stands for never.
func wasSeen(at time.Time) bool { return at.Year() > 2000 }

// stalledOf is the Stalled condition, while it stands: the spoke said of the present generation that no retry can help.
func stalledOf(i fleet.Instance, helm *fleet.HelmStatus) (s standing, stands bool) {
	if s = readyOf(i); s.Status != fleet.False || !i.Report.Terminal || i.Report.Generation < i.Assignment.Generation {
		return standing{}, false
	}
	s.since = latest(s.since, i.TerminalSince)
	if helm != nil && helm.Stalled.Status == fleet.True {
		s.Condition = helm.Stalled // Flux's word for it, which is not that of Ready
	}
	return s.as(s.Reason), true
}

// current reports whether the Report is about what is assigned.
func current(i fleet.Instance) bool {
	return i.Report.Generation >= i.Assignment.Pin && (i.Report.Release == i.Assignment.Release.Digest() || i.Assignment.State == fleet.Removed)
}

func removing(i fleet.Instance) string {
	verb := "letting go of its objects"
	if i.Assignment.Tombstone.Delete {
		verb = "deleting its objects"
	}
	if i.Report.Ready.Message != "" {
		verb += ": " + i.Report.Ready.Message
	}
	return verb
}

// lookAtPrune is the command that shows what an App's prune guards hold.
func lookAtPrune(app fleet.Key) string { return "look with " + inQuotes("prune show", app) }

// inQuotes is a command of fleetctl about an App, for a message.
func inQuotes(command string, app fleet.Key) string {
	kind, _ := resource.KindOf(app.Kind) // a name that has no short one is a name too
	word := append(kind.ShortNames, app.Kind)[0]
	return "`fleetctl " + command + " " + word + "/" + app.Name + " -n " + app.Namespace + "`"
}
