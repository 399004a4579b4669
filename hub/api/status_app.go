package api

import (
	"regexp"
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
	// Rollout of an App that a RolloutPolicy is for.
	Rollout *rolloutStatus `json:"rollout,omitempty"`
	// HelmChart is "namespace/name" of the one that is made for a HelmRelease.
	HelmChart string `json:"helmChart,omitempty"`
}

// counts are clusters: each is ready, progressing, failed or unknown; suspended ones are counted there too, and so are
// held ones, but for those that only hold what they were told to remove.
type counts struct {
	Total       int `json:"total"`
	Ready       int `json:"ready"`
	Progressing int `json:"progressing"`
	Failed      int `json:"failed"`
	Unknown     int `json:"unknown"`
	Suspended   int `json:"suspended"`
	Held        int `json:"held"`
}

// placedOn is where an App's Placement puts it: the clusters by name, those where it stays if it is there, and since when
// they are these.
type placedOn struct {
	clusters, staying []string
	since             time.Time
	// held says why nothing new goes to a cluster.
	held map[string]string
	// leftOut are the clusters that no wave of the policy of this name takes, which has them go without.
	leftOut map[string]bool
	policy  string
	// standing is where the App stands; nil: no RolloutPolicy is for it.
	standing *standingOf
}

// statusOfApp is what an App's build and its instances amount to. placed is nil when no Placement names it, lacks says
// which dependency keeps a new Release from the clusters.
func statusOfApp(object *resource.Object, state fleet.AppState, instances []fleet.Instance, placed *placedOn, lacks string) appStatus {
	status := appStatus{ObservedGeneration: state.ObservedGeneration, LastAttemptedRevision: string(state.Attempted)}
	if state.Version == 0 {
		status.ObservedGeneration = neverObserved
	}
	places := placesOf(state, instances, placed, lacks)
	if placed != nil {
		status.Rollout = placed.standing.status()
	}
	for _, p := range places {
		status.Fleet.add(p)
	}
	held := holding(instances)
	status.Fleet.Held = len(held)
	requested := object.Metadata.Annotations[flux.RequestedAtAnnotation]
	status.LastHandledReconcileAt = handledEverywhere(requested, places)
	if state.Reason != "" { // it is to be built again first
		status.LastHandledReconcileAt = older(status.LastHandledReconcileAt, state.HandledReconcileAt, requested)
	}
	if appliedEverywhere(state, places) {
		status.LastAppliedRevision = string(state.Revision)
	}
	c := conditions{observed: status.ObservedGeneration}
	c.addReady(summarize(object, state, instances, placed, places))
	if s, stands := stalledIn(object.Key(), state, placed, places); stands {
		c.add(stalled, s)
	}
	status.addHelm(&c, object, places)
	if len(held) > 0 {
		since, names := time.Time{}, make([]string, len(held))
		for n, i := range held {
			since, names[n] = earliest(since, i.HeldSince), i.Cluster
		}
		message := "deletions are held in " + listed(names) + ": " + lookAtPrune(object.Key())
		c.add(pruneHeld, standing{fleet.Condition{Status: fleet.True, Reason: fleet.ReasonPruneHeld, Message: message}, since})
	}
	status.Conditions = c.list
	return status
}

// place is an App in a cluster that it is placed on.
type place struct {
	cluster string
	// instance is nil until the App is assigned there.
	instance *fleet.Instance
	// helm is what is told of a HelmRelease there; nil: nothing.
	helm  *fleet.HelmStatus
	ready standing
	// leftOut: no Release comes there, and what is there stays.
	leftOut bool
	// elsewhere: it does not have the App's newest Release, and one may come there.
	elsewhere bool
	// kept: it stays at an older Release, where a Rollout that was ended on the way has left it.
	kept bool
	// gaveUp: it did not get to the newest Release, and nobody tries it again.
	gaveUp bool
	// first says that the App was never anything but Unknown there.
	first bool
}

// placesOf are the App's places by cluster. Where the App is not placed, as where it is being removed, is none.
func placesOf(state fleet.AppState, instances []fleet.Instance, placed *placedOn, lacks string) []place {
	if placed == nil {
		return nil
	}
	byCluster := map[string]*fleet.Instance{}
	for n := range instances {
		byCluster[instances[n].Cluster] = &instances[n]
	}
	clusters := placed.clusters
	for _, cluster := range placed.staying {
		if i := byCluster[cluster]; i != nil && i.Assignment.State == fleet.Active {
			clusters = append(clusters[:len(clusters):len(clusters)], cluster)
		}
	}
	places := make([]place, 0, len(clusters))
	for _, cluster := range clusters {
		p := place{cluster: cluster, instance: byCluster[cluster], first: true, leftOut: placed.leftOut[cluster]}
		if p.instance == nil && p.leftOut {
			continue
		}
		if p.instance == nil {
			p.ready = standing{toCome(reasonUnassigned, "", lacks, placed.held[cluster]), placed.since}
			p.elsewhere = true
			places = append(places, p)
			continue
		}
		i := *p.instance
		p.ready, p.helm = readyOf(i), helmOf(i)
		behind := i.Assignment.State == fleet.Active && i.Assignment.Release.Digest() != state.Release
		p.elsewhere = behind && !p.leftOut
		p.kept = p.elsewhere && placed.standing.keeps(state, i.Assignment.Release.Digest())
		if p.elsewhere && !p.kept && p.ready.Reason != fleet.ReasonUnreachable && !placed.standing.stays(state) {
			p.ready, p.gaveUp = p.behind(state, placed, lacks)
		}
		p.first = p.ready.Status == fleet.Unknown && !p.ready.since.After(i.CreatedAt)
		switch {
		case p.first:
			p.ready.since = earliest(p.ready.since, placed.since)
		case p.ready.Status == fleet.Unknown && !p.ready.since.After(i.PinnedAt): // since there was that Release to pin
			p.ready.since = earliest(p.ready.since, latest(state.ReleaseSince, placed.since))
		}
		places = append(places, p)
	}
	return places
}

// behind is the standing of a place that runs another Release than the App's newest one, and whether it has failed to get to that
// one for good.
func (p place) behind(state fleet.AppState, placed *placedOn, lacks string) (s standing, gaveUp bool) {
	if why, failed := placed.standing.failed(p.cluster, state); failed {
		message := "it did not get to " + string(state.Revision) + ", and stays at what it had: " + why
		return standing{fleet.Condition{Status: fleet.False, Reason: fleet.ReasonFailed, Message: message}, p.instance.PinnedAt}, true
	}
	since := state.ReleaseSince
	if p.ready.Status == fleet.Unknown {
		since = earliest(since, p.ready.since)
	}
	return standing{toCome(fleet.ReasonProgressing, "waiting to be rolled out there", lacks, placed.held[p.cluster]), since}, false
}

// toCome is the condition of a place which is still to get the App's Release, or why it does not get it.
func toCome(reason, message, lacks, held string) fleet.Condition {
	switch {
	case held != "":
		return unknown(reasonHeld, "it is held: "+held)
	case lacks != "":
		return unknown(fleet.ReasonDependency, lacks)
	}
	return unknown(reason, message)
}

// reasonHeld is that of a place to which nothing new goes.
const reasonHeld = "Held"

// reasonUnassigned is that of a place which the rollout has not come to.
const reasonUnassigned = "Unassigned"

func (c *counts) add(p place) {
	c.Total++
	switch {
	case p.ready.Status == fleet.True:
		c.Ready++
	case p.ready.Status == fleet.False && p.ready.Reason != fleet.ReasonDependency:
		c.Failed++
	case p.ready.Reason == fleet.ReasonUnreachable:
		c.Unknown++
	default:
		c.Progressing++
	}
	if p.instance != nil && p.instance.Assignment.Suspend {
		c.Suspended++
	}
}

// holding are the instances whose prune guard holds deletions, where the App is being removed too.
func holding(instances []fleet.Instance) []fleet.Instance {
	var held []fleet.Instance
	for _, i := range instances {
		if i.Report != nil && i.Report.HeldPrune != nil {
			held = append(held, i)
		}
	}
	return held
}

// appliedEverywhere reports whether every place that gets the App's newest Release has applied it, and there is one.
func appliedEverywhere(state fleet.AppState, places []place) bool {
	somewhere := false
	for _, p := range places {
		applied := p.instance != nil && p.instance.Report != nil && p.instance.Report.Applied == state.Release
		if !applied && !p.leftOut {
			return false
		}
		somewhere = somewhere || applied
	}
	return somewhere && !state.Release.IsZero()
}

// has reports whether the place is to run a Release.
func (p place) has(release fleet.Digest) bool {
	return p.instance != nil && p.instance.Assignment.Release.Digest() == release
}

// handledEverywhere is the last reconcile request that every place has handled; without a place there is nobody to ask.
func handledEverywhere(requested string, places []place) string {
	handled := requested
	for n, p := range places {
		switch {
		case p.instance == nil || p.instance.Report == nil:
			return ""
		case n == 0:
			handled = handledIn(p.instance.Report, requested)
		default:
			handled = older(handled, handledIn(p.instance.Report, requested), requested)
		}
	}
	return handled
}

// handledIn is the newest request for all clusters that one of them has served.
func handledIn(r *fleet.Report, requested string) string {
	own, _ := fleet.CutRequest(r.HandledReconcileAt)
	if own == "" || r.HandledReconcileAt == requested {
		return r.HandledReconcileAt
	}
	return own
}

// older is that of two reconcile requests which was made first. Requests are times, but for what people wrote into the
// annotation: of such a one it is known only whether it is the newest.
func older(a, b, newest string) string {
	at, errA := time.Parse(time.RFC3339Nano, a)
	bt, errB := time.Parse(time.RFC3339Nano, b)
	switch {
	case a == "" || b == "":
		return ""
	case errA == nil && errB == nil && bt.Before(at), (errA != nil || errB != nil) && a == newest:
		return b
	}
	return a
}

// stalledIn is the Stalled condition of an App, while it stands: its build, its newest Release, or the App in some place, needs
// somebody to act.
func stalledIn(app fleet.Key, state fleet.AppState, placed *placedOn, places []place) (s standing, stands bool) {
	if !state.TerminalSince.IsZero() {
		return standing{fleet.Condition{Status: fleet.True, Reason: state.Reason, Message: state.Message}, state.TerminalSince}, true
	}
	if r, rests := restOf(app, state, placed, places); rests {
		return r.as(r.Reason), true
	}
	var failing []failure
	for _, p := range places {
		if p.ready.Status != fleet.False {
			continue
		}
		there, stands := stalledOf(*p.instance, p.helm)
		if p.gaveUp {
			there, stands = p.ready, true
		}
		if stands {
			s = standing{there.Condition, earliest(s.since, there.since)}.as(there.Reason)
			failing = append(failing, failure{p.cluster, there.Message})
		}
	}
	s.Message = grouped(failing)
	return s, len(failing) > 0
}

func itoa(n int) string { return strconv.Itoa(n) }

// failure is what a cluster says of an App.
type failure struct{ cluster, message string }

// grouped joins failures, naming the clusters of the same trouble together.
func grouped(failing []failure) string {
	var first []failure
	clusters := map[string][]string{}
	for _, f := range failing {
		trouble := troubleIn(f.message)
		if clusters[trouble] == nil {
			first = append(first, f)
		}
		clusters[trouble] = append(clusters[trouble], f.cluster)
	}
	parts := make([]string, len(first))
	for n, f := range first {
		parts[n] = listed(clusters[troubleIn(f.message)]) + ": " + f.message
	}
	return strings.Join(parts, "; ")
}

// podName is what tells messages about the same trouble of several clusters apart.
var podName = regexp.MustCompile(`\bPod [a-z0-9.-]+`)

// troubleIn is the same for messages about the same trouble of several clusters.
func troubleIn(message string) string { return podName.ReplaceAllString(message, "Pod") }
