package api

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
)

// appStatus is the status of an App: Flux's, and the fleet's counts.
type appStatus struct {
	ObservedGeneration     int64       `json:"observedGeneration"`
	Conditions             []condition `json:"conditions"`
	LastAppliedRevision    string      `json:"lastAppliedRevision,omitempty"`
	LastAttemptedRevision  string      `json:"lastAttemptedRevision,omitempty"`
	LastHandledReconcileAt string      `json:"lastHandledReconcileAt,omitempty"`
	Fleet                  counts      `json:"fleet"`
}

// counts are clusters: each is ready, progressing, failed or unknown; suspended and held ones are counted there too.
type counts struct {
	Total       int `json:"total"`
	Ready       int `json:"ready"`
	Progressing int `json:"progressing"`
	Failed      int `json:"failed"`
	Unknown     int `json:"unknown"`
	Suspended   int `json:"suspended"`
	Held        int `json:"held"`
}

// statusOfApp is what an App's build and its instances amount to.
func statusOfApp(object *resource.Object, state fleet.AppState, instances []fleet.Instance, placed bool) appStatus {
	status := appStatus{ObservedGeneration: state.ObservedGeneration, LastAttemptedRevision: string(state.Attempted)}
	if state.Version == 0 {
		status.ObservedGeneration = -1 // nobody has looked at it
	}
	at := object.Metadata.CreationTimestamp.UTC()
	applied := len(instances) > 0 && !state.Release.IsZero()
	handled := ""
	var failing, waiting, held []string
	for i, instance := range instances {
		at = latest(at, instance.ReportedAt)
		c := readyOf(instance)
		if instance.Assignment.State == fleet.Active && instance.Assignment.Release.Digest() != state.Release && c.Reason != fleet.ReasonUnreachable {
			c = fleet.Condition{Status: fleet.Unknown, Reason: fleet.ReasonProgressing, Message: "waiting to be rolled out there"}
		}
		status.Fleet.add(instance, c)
		switch c.Status {
		case fleet.False:
			failing = append(failing, instance.Cluster+": "+c.Message)
		case fleet.Unknown:
			waiting = append(waiting, instance.Cluster)
		}
		if instance.Report != nil && instance.Report.HeldPrune != nil {
			held = append(held, instance.Cluster)
		}
		if instance.Report == nil || instance.Report.Applied != state.Release {
			applied = false
		}
		switch {
		case instance.Report == nil:
			handled = ""
		case i == 0 || instance.Report.HandledReconcileAt < handled:
			handled = instance.Report.HandledReconcileAt
		}
	}
	if len(instances) == 0 {
		handled = object.Metadata.Annotations[flux.RequestedAtAnnotation] // there is nobody to ask
	}
	if state.Reason != "" && state.HandledReconcileAt < handled {
		handled = state.HandledReconcileAt // it is to be built again first
	}
	status.LastHandledReconcileAt = handled
	if applied {
		status.LastAppliedRevision = string(state.Revision)
	}
	summary := summarize(state, status, placed, failing, waiting)
	status.Conditions = append(status.Conditions, newCondition(ready, summary, at))
	if summary.Status == fleet.Unknown {
		status.Conditions = append(status.Conditions, newCondition(reconciling, fleet.Condition{Status: fleet.True, Reason: fleet.ReasonProgressing, Message: summary.Message}, at))
	}
	if len(held) > 0 {
		message := fmt.Sprintf("deletions are held in %s: look with `fleetctl prune show ks/%s -n %s`", strings.Join(held, ", "), object.Metadata.Name, object.Metadata.Namespace)
		status.Conditions = append(status.Conditions, newCondition(pruneHeld, fleet.Condition{Status: fleet.True, Reason: fleet.ReasonPruneHeld, Message: message}, at))
	}
	return status
}

// summarize is the Ready condition of an App in the whole fleet.
func summarize(state fleet.AppState, status appStatus, placed bool, failing, waiting []string) fleet.Condition {
	switch {
	case state.Reason != "":
		return fleet.Condition{Status: fleet.False, Reason: state.Reason, Message: state.Message}
	case len(failing) > 0:
		return fleet.Condition{Status: fleet.False, Reason: fleet.ReasonFailed, Message: group(failing)}
	case !placed:
		return fleet.Condition{Status: fleet.Unknown, Reason: "NotPlaced", Message: "no Placement names it"}
	case state.Release.IsZero():
		return fleet.Condition{Status: fleet.Unknown, Reason: fleet.ReasonProgressing, Message: "waiting for its source to be fetched and built"}
	case status.Fleet.Total == 0:
		return fleet.Condition{Status: fleet.Unknown, Reason: "NoClusters", Message: "its Placement matches no cluster"}
	case len(waiting) > 0:
		return fleet.Condition{Status: fleet.Unknown, Reason: fleet.ReasonProgressing, Message: "waiting for " + strings.Join(waiting, ", ")}
	}
	return fleet.Condition{Status: fleet.True, Reason: fleet.ReasonSucceeded,
		Message: "applied revision " + string(state.Revision) + " in " + plural(status.Fleet.Total, "cluster")}
}

// group joins "cluster: message" lines, putting clusters with the same message together.
func group(failing []string) string {
	var order []string
	clusters := map[string][]string{}
	for _, line := range failing {
		cluster, message, _ := strings.Cut(line, ": ")
		if clusters[message] == nil {
			order = append(order, message)
		}
		clusters[message] = append(clusters[message], cluster)
	}
	var parts []string
	for _, message := range order {
		parts = append(parts, strings.Join(clusters[message], ", ")+": "+message)
	}
	return strings.Join(parts, "; ")
}

func (c *counts) add(instance fleet.Instance, condition fleet.Condition) {
	c.Total++
	switch {
	case !instance.Connected:
		c.Unknown++
	case condition.Status == fleet.True:
		c.Ready++
	case condition.Status == fleet.False:
		c.Failed++
	default:
		c.Progressing++
	}
	if instance.Assignment.Suspend {
		c.Suspended++
	}
	if instance.Report != nil && instance.Report.HeldPrune != nil {
		c.Held++
	}
}

// readyOf is the Ready condition of an App in one cluster. What is not heard is never ready, and what was said of
// another Release says nothing of this one.
func readyOf(i fleet.Instance) fleet.Condition {
	r := i.Report
	switch {
	case !i.Connected && i.LastSeen.Year() < 2000:
		return fleet.Condition{Status: fleet.Unknown, Reason: fleet.ReasonUnreachable, Message: "the cluster's spoke has not connected yet"}
	case !i.Connected:
		return fleet.Condition{Status: fleet.Unknown, Reason: fleet.ReasonUnreachable, Message: "the cluster was last heard of at " + i.LastSeen.UTC().Format(time.RFC3339)}
	case r == nil || !current(i):
		return fleet.Condition{Status: fleet.Unknown, Reason: fleet.ReasonProgressing, Message: "waiting for the cluster to take it up"}
	case i.Assignment.State == fleet.Removed:
		return fleet.Condition{Status: fleet.Unknown, Reason: "Removing", Message: removing(i)}
	}
	return r.Ready
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

// instanceStatus is the status of an App in one cluster.
type instanceStatus struct {
	ObservedGeneration     int64         `json:"observedGeneration"`
	Conditions             []condition   `json:"conditions"`
	LastAppliedRevision    string        `json:"lastAppliedRevision,omitempty"`
	LastAttemptedRevision  string        `json:"lastAttemptedRevision,omitempty"`
	LastHandledReconcileAt string        `json:"lastHandledReconcileAt,omitempty"`
	Fleet                  instanceFleet `json:"fleet"`
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

// statusOfInstance is what one Assignment and its Report amount to. declared is the App's generation; 0: it is gone.
func statusOfInstance(i fleet.Instance, declared int64) instanceStatus {
	status := instanceStatus{ObservedGeneration: declared, LastAttemptedRevision: string(i.Attempted), LastAppliedRevision: string(i.Applied),
		Fleet: instanceFleet{Generation: i.Assignment.Generation, Release: i.Assignment.Release.Digest().String(), Connected: i.Connected}}
	at := i.CreatedAt
	c := readyOf(i)
	if c.Status == fleet.True && i.Applied != "" {
		c.Message = "applied revision " + string(i.Applied) // of which the spoke knows the Release only
	}
	if r := i.Report; r != nil {
		at = i.ReportedAt
		reported := i.ReportedAt.UTC()
		f := &status.Fleet
		f.ReportedAt, f.Stage, f.Converged = &reported, r.Stage, r.Converged && current(i) && i.Connected
		f.Objects, f.NotReady, f.PruneHeld, f.DriftCorrections = r.Objects, r.NotReady, r.HeldPrune, r.DriftCorrections
		status.LastHandledReconcileAt = r.HandledReconcileAt
	}
	status.Conditions = append(status.Conditions, newCondition(ready, c, at))
	if c.Status == fleet.Unknown {
		status.Conditions = append(status.Conditions, newCondition(reconciling, fleet.Condition{Status: fleet.True, Reason: c.Reason, Message: c.Message}, at))
	}
	if i.Report != nil {
		h := i.Report.Healthy
		if !i.Connected {
			h = fleet.Condition{Status: fleet.Unknown, Reason: c.Reason, Message: c.Message}
		}
		status.Conditions = append(status.Conditions, newCondition(healthy, h, at))
		if held := i.Report.HeldPrune; held != nil {
			message := held.Reason + ": " + plural(held.Count, "object") + " would be deleted; look with `fleetctl prune show`"
			status.Conditions = append(status.Conditions, newCondition(pruneHeld, fleet.Condition{Status: fleet.True, Reason: fleet.ReasonPruneHeld, Message: message}, at))
		}
	}
	return status
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b.UTC()
	}
	return a
}

func itoa(n int) string { return strconv.Itoa(n) }

// instancesByApp puts instances by their App, those of live clusters only being there.
func instancesByApp(instances []fleet.Instance) map[fleet.Key][]fleet.Instance {
	byApp := map[fleet.Key][]fleet.Instance{}
	for _, i := range instances {
		byApp[i.Assignment.App] = append(byApp[i.Assignment.App], i)
	}
	return byApp
}

// placedApps are the Apps that Placements name.
func placedApps(placements []*resource.Object) ([]fleet.Key, error) {
	var keys []fleet.Key
	for _, object := range placements {
		spec, err := resource.Spec[fleet.Placement](object)
		if err != nil {
			return nil, err
		}
		for _, app := range spec.Apps {
			keys = append(keys, fleet.Key{Home: fleet.HubHome, Kind: app.Kind, Namespace: object.Metadata.Namespace, Name: app.Name})
		}
	}
	slices.SortFunc(keys, fleet.Key.Compare)
	return keys, nil
}
