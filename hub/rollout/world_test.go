package rollout_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

// world is a simulated fleet, and the hub's rows of one App. Between two steps the Rollouts go through JSON, as they
// would through a database: nothing else is remembered.
type world struct {
	// script is what is played, if it is a schedule.
	script fmt.Stringer
	state  rollout.State
	spokes map[string]*spoke
	// truth is what a Release does in a cluster, works if nothing is said; takes how long it is at it.
	truth map[fleet.Digest]map[string]outcome
	// contents are those of Releases.
	contents map[fleet.Digest][]byte
	takes    time.Duration
	// wire is what is on its way from the spokes to the hub.
	wire wire
	// behind is by how much the hub's clock is behind that of the spokes; late how much its steps are, which never go back.
	behind, late time.Duration
	// answers are what checks are told, in turn, for ever; none: they pass.
	answers []rollout.Result
	// remembers has the engine's own rows go from step to step as they are, not through JSON.
	remembers bool
	// ended are Rollouts that are over, by id.
	ended map[string]*rollout.Rollout
	// log is every event, at says when each happened, and pins is every Release that a cluster was given, in order.
	log    []rollout.Event
	at     []time.Time
	pins   []pin
	checks []rollout.Check
	asked  int
	// watch is called with each step, and with the command of it.
	watch   func(before rollout.State, step rollout.Step)
	command rollout.Command
	// wake is when the App is due; looked is what the hub saw when it looked last.
	wake   time.Time
	looked sight
	// crash throws a step away before it is written, once.
	crash bool
	// hub takes the place of the rows in memory; nil: they are there.
	hub hub
}

// hub is a world's other place for its rows: a database.
type hub interface {
	// join registers a cluster, and returns its id.
	join(name string) string
	// act has steps made of the world as it is, and returns what each was made of.
	act(w *world, c rollout.Command) ([]made, error)
	// report stores what a spoke says; nil: that it has carried a tombstone out.
	report(cluster string, r *rollout.Report)
}

// made is a step that was made.
type made struct {
	before rollout.State
	step   rollout.Step
}

// pin is a Release given to a cluster.
type pin struct {
	at      time.Time
	cluster string
	release fleet.Digest
}

// newWorld has clusters c0, c1, ... with the App placed on all of them, under a policy.
func newWorld(n int, policy fleet.RolloutPolicy) *world {
	w := &world{
		spokes: map[string]*spoke{}, truth: map[fleet.Digest]map[string]outcome{}, contents: map[fleet.Digest][]byte{}, takes: 20 * time.Second, ended: map[string]*rollout.Rollout{},
		state: rollout.State{
			Key: app, App: &rollout.App{}, Former: map[string]rollout.Placement{},
			Now: time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC), Managed: true, Releases: map[fleet.Digest]fleet.Release{},
		},
	}
	w.state.Placement = &rollout.Placement{Name: "place", Placement: fleet.Placement{
		Apps: []fleet.AppRef{{Kind: app.Kind, Name: app.Name}}, Clusters: fleet.ClusterChoice{Selector: &fleet.Selector{}}}}
	w.state.Former["place"] = *w.state.Placement
	w.policy(policy)
	for i := range n {
		w.join(fmt.Sprintf("c%d", i), map[string]string{"index": fmt.Sprint(i)})
	}
	return w
}

func (w *world) policy(p fleet.RolloutPolicy) {
	w.state.Policy = &rollout.Policy{Name: "p", RolloutPolicy: p}
}

func (w *world) join(name string, labels map[string]string) {
	id := "id-" + name
	if w.hub != nil {
		id = w.hub.join(name)
	}
	w.state.Clusters = append(w.state.Clusters, rollout.Cluster{ID: id, Name: name, Labels: labels, Connected: true})
	w.state.Rows = append(w.state.Rows, rollout.Row{})
	w.spokes[id] = &spoke{}
}

func (w *world) cluster(name string) *rollout.Cluster {
	i := slices.IndexFunc(w.state.Clusters, func(c rollout.Cluster) bool { return c.Name == name })
	return &w.state.Clusters[i]
}

// row is that of a cluster, by id.
func (w *world) row(id string) *rollout.Row { return rowOf(w.state, id) }

func (w *world) leave(name string) {
	i := slices.IndexFunc(w.state.Clusters, func(c rollout.Cluster) bool { return c.Name == name })
	w.state.Clusters, w.state.Rows = slices.Delete(slices.Clone(w.state.Clusters), i, i+1), slices.Delete(slices.Clone(w.state.Rows), i, i+1)
	delete(w.spokes, "id-"+name)
	delete(w.wire.heard, "id-"+name)
	delete(w.wire.old, "id-"+name)
	w.wire.under = slices.DeleteFunc(w.wire.under, func(m message) bool { return m.cluster == "id-"+name })
}

// push is a new Release of the App, and what it does.
func (w *world) push(text string, truth map[string]outcome) fleet.Digest {
	release := releaseOf(text)
	release.App = w.state.Key
	w.contents[release.Manifest] = []byte(text)
	w.state.App = with1(w.state.App, func(a *rollout.App) { a.Release = &release })
	w.state.Releases[release.Digest()] = release
	w.truth[release.Digest()] = truth
	return release.Digest()
}

// with1 is a copy of what p is, edited.
func with1[T any](p *T, edit func(*T)) *T {
	next := *p
	edit(&next)
	return &next
}

// sight is what a hub has a look at an App for.
type sight struct {
	clusters  []rollout.Cluster
	reports   map[string]rollout.Report
	removed   map[string]bool
	app       *rollout.App
	policy    *rollout.Policy
	placement *rollout.Placement
	freeze    string
}

func (w *world) sees() sight {
	app := w.state.App
	if app != nil && len(app.Prerequisites) > 0 {
		app = with1(app, func(a *rollout.App) {
			a.Prerequisites = slices.Clone(a.Prerequisites)
			for i := range a.Prerequisites {
				a.Prerequisites[i].Rows = maps.Clone(a.Prerequisites[i].Rows)
			}
		})
	}
	s := sight{clusters: slices.Clone(w.state.Clusters), app: app, policy: w.state.Policy, placement: w.state.Placement, freeze: w.state.Freeze,
		reports: map[string]rollout.Report{}, removed: map[string]bool{}}
	for i, row := range w.state.Rows {
		id := w.state.Clusters[i].ID
		if row.Report != nil {
			s.reports[id] = *row.Report
		}
		if row.Removed {
			s.removed[id] = true
		}
	}
	return s
}

// look has the hub look if it has a reason to: something has changed, or the App is due.
func (w *world) look() error {
	due := !w.wake.IsZero() && !w.wake.After(w.state.Now)
	if w.hub == nil && !due && reflect.DeepEqual(w.looked, w.sees()) {
		return nil
	}
	return w.step(nil)
}

// step has the hub look once.
func (w *world) step(c rollout.Command) error {
	if w.hub != nil {
		steps, err := w.hub.act(w, c)
		for _, m := range steps {
			w.state = m.before
			w.took(c, m)
		}
		return err
	}
	before, step, err := w.decide(c)
	if err != nil {
		return err
	}
	w.looked = w.sees()
	if w.crash {
		w.crash = false
		w.state.Generation-- // no transaction, no number
		return w.step(c)
	}
	w.took(c, made{before, step})
	return nil
}

// took is what follows from a step that was made.
func (w *world) took(c rollout.Command, m made) {
	w.command = c
	if w.watch != nil {
		w.watch(m.before, m.step)
	}
	w.write(m.step)
}

func (w *world) decide(c rollout.Command) (rollout.State, rollout.Step, error) {
	w.state.Generation++
	before := w.state
	before.Releases = w.named(c)
	// What a step is given is not what it may write into.
	before.Clusters = slices.Clone(before.Clusters)
	step, err := rollout.Act(before, c)
	return before, step, err
}

// named are the Releases that the store would load.
func (w *world) named(c rollout.Command) map[fleet.Digest]fleet.Release {
	named := map[fleet.Digest]fleet.Release{}
	add := func(d fleet.Digest) {
		if release, is := w.state.Releases[d]; is {
			named[d] = release
		}
	}
	for _, raw := range w.state.Names() {
		if d, err := fleet.DigestFromBytes(raw); err == nil {
			add(d)
		}
	}
	switch c := c.(type) {
	case rollout.Start:
		add(c.Target)
	case rollout.Rollback:
		add(c.To)
	}
	return named
}

// write does what the store does with a Step.
func (w *world) write(step rollout.Step) {
	s := &w.state
	was := s.Rows
	*s = follow(*s, step)
	s.Generation--
	for i := range s.Clusters {
		id, row := s.Clusters[i].ID, &s.Rows[i]
		if at, asked := step.Requests[id]; asked {
			row.RequestedAt = at
		}
		put, written := step.Put[id]
		if !written {
			continue
		}
		row.Release = put.Assignment.Release.Digest()
		if before := was[i]; before.Assignment == nil || before.Release != row.Release || before.Assignment.State != put.Assignment.State {
			w.pins = append(w.pins, pin{s.Now, id, row.Release})
		}
	}
	for _, ro := range step.Rollouts {
		if !w.remembers {
			ro = through(ro)
		}
		switch {
		case ro.Phase == rollout.Queued:
			s.Queued = ro
		case ro.Phase.Active():
			s.Active = ro
		default:
			w.ended[ro.ID] = ro
			if s.Queued != nil && s.Queued.ID == ro.ID {
				s.Queued = nil
			}
			if s.Active != nil && s.Active.ID == ro.ID {
				s.Active = nil
			}
		}
		if s.Queued != nil && s.Active != nil && s.Queued.ID == s.Active.ID {
			s.Queued = nil
		}
	}
	switch {
	case step.Forget:
		s.Track = nil
	case step.Track != nil:
		s.Track = step.Track
		if !w.remembers {
			s.Track = through(step.Track)
		}
	}
	w.log = append(w.log, step.Events...)
	for range step.Events {
		w.at = append(w.at, s.Now)
	}
	w.checks = append(w.checks, step.Checks...)
	w.wake = step.Wake
}

// through is what is left of v after a database.
func through[T any](v *T) *T {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	again := new(T)
	if err := json.Unmarshal(data, again); err != nil {
		panic(err)
	}
	return again
}

// real is the time in the clusters.
func (w *world) real() time.Time { return w.state.Now.Add(w.late) }

// pass has time go on, and the connected spokes act and report.
func (w *world) pass(d time.Duration) {
	real := w.real().Add(d)
	// The hub's steps are never earlier than the one before, whatever its clock says.
	if now := real.Add(-w.behind); now.After(w.state.Now) {
		w.state.Now = now
	}
	w.late = real.Sub(w.state.Now)
	w.state.Rows = slices.Clone(w.state.Rows)
	w.state.Clusters = slices.Clone(w.state.Clusters)
	for i := range w.state.Clusters {
		c := &w.state.Clusters[i]
		row := &w.state.Rows[i]
		if row.Assignment == nil || !c.Connected {
			continue
		}
		s := w.spokes[c.ID]
		s.receive(w, *row)
		if report := s.act(w, c); report != nil {
			w.wire.send(c.ID, s, *report)
		}
		row.Removed = row.Assignment.State == fleet.Removed && s.runs.State == fleet.Removed
		if row.Removed && w.hub != nil {
			w.hub.report(c.ID, nil)
		}
	}
	w.wire.arrive(w)
}

// answerChecks tells the hub what its checks found.
func (w *world) answerChecks() {
	checks := w.checks
	w.checks = nil
	for _, c := range checks {
		result := rollout.ResultPass
		if len(w.answers) > 0 {
			result = w.answers[w.asked%len(w.answers)]
		}
		w.asked++
		_ = w.step(measured(c, result)) // an answer that comes too late is refused, or counts for nothing
	}
}

func measured(c rollout.Check, result rollout.Result) rollout.Measured {
	return rollout.Measured{Rollout: c.Rollout, Wave: c.Wave, After: c.After, Gate: c.Gate, Cluster: c.Cluster, Attempt: c.Attempt,
		Measurement: rollout.Measurement{Result: result}}
}

// run lets time go on until a Rollout is over or stands, at most so many ticks.
func (w *world) run(ticks int, until func() bool) bool {
	for range ticks {
		if until() {
			return true
		}
		w.pass(10 * time.Second)
		w.answerChecks()
		if err := w.look(); err != nil {
			panic(err)
		}
	}
	return until()
}

// idle: no Rollout is under way, and nobody catches up.
func (w *world) idle() bool {
	return w.state.Active == nil && w.state.Queued == nil && w.state.Track != nil
}

// all reports whether every connected cluster runs a Release.
func (w *world) all(release fleet.Digest) bool {
	for _, c := range w.state.Clusters {
		if row := w.row(c.ID); c.Connected && row.Release != release {
			return false
		}
	}
	return true
}
