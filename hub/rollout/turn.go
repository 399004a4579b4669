package rollout

import (
	"slices"
	"strconv"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
)

// turn is the working copy of one Next: what is decided is written into it, and compared with the State at its end.
type turn struct {
	State
	// ro is the App's Rollout under way; nil: none. Others are those that this turn ended or queued.
	ro     *Rollout
	others []*Rollout
	// track is what is known of the App's Releases.
	track Track
	// want are Releases for clusters that do not stay at what they have; gone clusters are to lose the App.
	want map[string]fleet.Release
	gone map[string]bool
	// keeps are clusters that are to lose the App and have it a while yet.
	keeps map[string]bool
	// rebind are clusters that may have what changed for them alone.
	rebind map[string]bool
	// dispatched are members whose generation is that of their row once it is written.
	dispatched []string
	requests   map[string]string
	events     []Event
	checks     []Check
	wake       time.Time
	// commanded: it carries out a Command.
	commanded bool
	// newest is the App's newest Release; zero: none.
	newest fleet.Digest
	// sites are Clusters with what is known of each, and byID their places.
	sites []site
	byID  map[string]int
	// seats are the sites of ro's members, nil where the cluster is gone; first the places of those at which its waves begin,
	// and the last one ends.
	seats []*site
	first []int
	// begun counts the Rollouts that this turn has named.
	begun int
}

// Event is something that happened to a Rollout.
type Event struct {
	Rollout string
	// Type is what happened, such as ClusterSucceeded; Actor who had it happen, empty: the hub.
	Type    string
	Actor   string
	Cluster string
	Wave    string
	Gate    string
	Reason  string
	Message string
}

// Check is a question that an analysis or a webhook asks, outside of the step. Its answer comes back as Measured.
type Check struct {
	Rollout string
	// Wave and Gate name what asks; Cluster, by id, who is to ask: empty, the hub.
	Wave    int
	After   bool
	Gate    int
	Cluster string
	Attempt int
	// Name is that of Cluster; WaveName and Phase are the wave's.
	Name     string
	WaveName string
	Phase    WavePhase
	// Spec is the gate's; Clusters are the names of the clusters that it is about: Cluster, or those of the wave, and of the
	// waves before, that have succeeded.
	Spec     fleet.Gate
	Clusters []string
	App      fleet.Key
	Target   fleet.Digest
}

func begin(s State) *turn {
	t := &turn{
		State: s, want: map[string]fleet.Release{}, gone: map[string]bool{}, rebind: map[string]bool{}, requests: map[string]string{},
	}
	t.settle()
	if s.App != nil && s.App.Release != nil {
		t.newest = s.App.Release.Digest()
	}
	if s.Policy != nil {
		t.Policy = &Policy{Name: s.Policy.Name, RolloutPolicy: s.Policy.WithDefaults()}
	}
	if s.Track != nil {
		t.track = s.Track.clone()
	}
	if s.Active != nil {
		t.under(s.Active.clone())
	}
	t.skip(s.Away)
	return t
}

// skip has a time not count in which no hub listened: nothing that would have stopped a clock was heard.
func (t *turn) skip(away time.Duration) {
	if away <= 0 {
		return
	}
	later := func(at *time.Time) {
		if !at.IsZero() {
			*at = at.Add(away)
		}
	}
	for id, u := range t.track.CatchingUp {
		later(&u.Deadline.Since)
		t.track.CatchingUp[id] = u
	}
	if t.ro == nil {
		return
	}
	for i := range t.ro.Members {
		m := &t.ro.Members[i]
		for _, at := range []*time.Time{&m.Deadline.Since, &m.Healthy, &m.Unhealthy, &m.Unavailable, &m.Lost} {
			later(at)
		}
	}
	for i := range t.ro.Waves {
		w := &t.ro.Waves[i]
		later(&w.Coverage.Since)
		later(&w.Blocked.Since)
		for _, gates := range [][]Gate{w.Before, w.After} {
			for j := range gates {
				later(&gates[j].Elapsed.Since)
			}
		}
	}
}

// clone is a copy that shares nothing that a step changes.
func (r *Rollout) clone() *Rollout {
	c := *r
	c.Members = slices.Clone(r.Members)
	c.Waves = slices.Clone(r.Waves)
	for i := range c.Waves {
		c.Waves[i].Before, c.Waves[i].After = cloneGates(c.Waves[i].Before), cloneGates(c.Waves[i].After)
	}
	return &c
}

// newID names a Rollout that begins in this turn.
func (t *turn) newID() string {
	id := rolloutID(t.Generation)
	if t.begun++; t.begun > 1 {
		id += "-" + strconv.Itoa(t.begun)
	}
	return id
}

// tell records an event of the Rollout under way.
func (t *turn) tell(e Event) {
	if e.Rollout == "" && t.ro != nil {
		e.Rollout = t.ro.ID
	}
	t.events = append(t.events, e)
}

// request asks the cluster's spoke for a pass, whatever it has done. Each is another one, though time may stand still.
func (t *turn) request(cluster string) {
	at := t.Now
	if _, last := fleet.CutRequest(t.site(cluster).row.RequestedAt); !at.After(last) {
		at = last.Add(time.Nanosecond)
	}
	t.requests[cluster] = fleet.RequestAt(t.App.Controls.RequestedAt, at)
}

// after reports whether d has passed since at; if not, the App is looked at again when it has.
func (t *turn) after(at time.Time, d time.Duration) bool { return t.due(at.Add(d)) }

// spent reports whether a clock has counted d; if not, and it runs, the App is looked at again when it has.
func (t *turn) spent(c Clock, d time.Duration) bool {
	if c.Elapsed(t.Now) >= d {
		return true
	}
	if at := c.reaches(d); !at.IsZero() {
		t.due(at)
	}
	return false
}

// due reports whether a time has come; if not, the App is looked at again when it has.
func (t *turn) due(at time.Time) bool {
	if !at.After(t.Now) {
		return true
	}
	if t.wake.IsZero() || at.Before(t.wake) {
		t.wake = at
	}
	return false
}

// phase has the Rollout in another phase, and tells of it.
func (t *turn) phase(p Phase, reason Reason, message string) {
	changed := t.ro.Phase != p || t.ro.Reason != reason
	t.ro.Phase, t.ro.Reason, t.ro.Message = p, reason, message
	if p.Final() {
		t.ro.Finished = t.Now
		t.stopClocks()
	}
	if p.Final() || p == Halted {
		t.due(t.Now.Add(time.Millisecond)) // what waited for it can begin
	}
	if changed {
		t.tell(Event{Type: string(p), Reason: string(reason), Message: message})
	}
}

// waits says what a running Rollout waits for.
func (t *turn) waits(reason Reason, message string) { t.ro.Reason, t.ro.Message = reason, message }

// stopClocks ends all counting, and asking, of a Rollout that is over.
func (t *turn) stopClocks() {
	for i := range t.ro.Members {
		t.ro.Members[i].Deadline.run(t.Now, false)
	}
	for i := range t.ro.Waves {
		t.ro.Waves[i].stop(t.Now)
		for _, g := range t.ro.Waves[i].gates() {
			g.Probes = nil
		}
	}
}
