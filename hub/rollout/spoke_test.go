package rollout_test

import (
	"math/rand/v2"
	"slices"
	"time"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

// outcome is what a Release really does in a cluster.
type outcome string

const (
	works      outcome = "works"
	refused    outcome = "refused"    // an error that no retry helps
	unhealthy  outcome = "unhealthy"  // its objects fail
	never      outcome = "never"      // it does not get there, and does not fail
	regresses  outcome = "regresses"  // it works, and then does not serve
	recovering outcome = "recovering" // it fails, and then works
	slow       outcome = "slow"       // it takes long
	cuts       outcome = "cuts"       // it cuts the cluster's own network
	flaps      outcome = "flaps"      // it works, and does not serve for moments
)

// spoke is one simulated cluster.
type spoke struct {
	// runs is what it acts on, since when, and ran the one before it.
	runs, ran given
	since     time.Time
	held      bool
	// waits is what it waits for until then, whatever it is to run.
	waits fleet.Waiting
	until time.Time
	// sick: it does not serve, whatever it runs.
	sick bool
	// sent counts its reports.
	sent uint64
}

// given is an Assignment, and the digest of its Release.
type given struct {
	fleet.Assignment
	release fleet.Digest
}

// receive takes what the hub wants, unless it is older than what the spoke knows.
func (s *spoke) receive(w *world, row rollout.Row) {
	a := given{*row.Assignment, row.Release}
	if a.Generation < s.runs.Generation {
		return
	}
	if s.runs.State != a.State || s.runs.release != a.release || s.runs.RequestedAt != a.RequestedAt {
		s.since = w.real()
	}
	if s.runs.Generation != a.Generation {
		s.ran = s.runs
	}
	s.runs = a
}

// act is what the spoke says of the Assignment that it has.
func (s *spoke) act(w *world, c *rollout.Cluster) *rollout.Report {
	if s.runs.State != fleet.Active {
		return nil
	}
	release := s.runs.release
	r := &rollout.Report{Generation: s.runs.Generation, Release: release, Stage: fleet.StageApplying, Available: true, Message: "applying"}
	if s.held {
		r.Waiting, r.Message = fleet.WaitingHold, "held"
		return r
	}
	if s.waits != "" && w.real().Before(s.until) {
		r.Waiting, r.Message = s.waits, "not yet"
		return r
	}
	age, does := w.real().Sub(s.since), w.truth[release][c.Name]
	if age < w.takes || does == slow && age < 6*w.takes {
		return r
	}
	r.Stage, r.Message = fleet.StageSettled, ""
	switch does {
	case refused:
		r.Stage, r.Terminal, r.Message = fleet.StageFailed, true, "it is refused"
	case unhealthy:
		r.Stage, r.Available, r.Failed, r.Message = fleet.StageFailed, false, true, "CrashLoopBackOff"
	case never:
		r.Stage, r.Available, r.Message = fleet.StageVerifying, false, "waits for its Pods"
	case regresses:
		r.Converged = age < w.takes+time.Minute
		r.Available = r.Converged
	case recovering:
		r.Converged = age > w.takes+2*time.Minute
		r.Available, r.Failed = r.Converged, !r.Converged
	case flaps:
		r.Converged = age.Truncate(30*time.Second)%(2*time.Minute) != 90*time.Second
		r.Available = r.Converged
	case cuts:
		c.Connected = false
		return nil
	default:
		r.Converged = true
	}
	if s.sick {
		r.Converged, r.Available, r.Message = false, false, "its nodes are gone"
	}
	return r
}

// wire carries reports. It loses, doubles, delays, mixes and repeats them as noise says; nil: it is a good one.
type wire struct {
	noise *rand.Rand
	// mix has reports come in another order, and does nothing else.
	mix *rand.Rand
	// under way, and what came before: the last ones of each cluster.
	under []message
	old   map[string][]message
	heard map[string]uint64
	// mute are clusters that say nothing; waits is what spokes wait for that are to run a Release.
	mute  map[string]bool
	waits map[fleet.Digest]fleet.Waiting
}

type message struct {
	cluster string
	seq     uint64
	report  rollout.Report
}

func (w *wire) send(cluster string, s *spoke, r rollout.Report) {
	if w.mute[cluster] {
		return
	}
	if waiting := w.waits[r.Release]; waiting != "" {
		r.Waiting, r.Stage, r.Converged = waiting, fleet.StageApplying, false
	}
	s.sent++
	w.under = append(w.under, message{cluster, s.sent, r})
}

// arrive brings to the hub what arrives now. The hub keeps the latest of each spoke, whatever the order.
func (n *wire) arrive(w *world) {
	batch := n.under
	n.under = nil
	if n.heard == nil {
		n.heard, n.old = map[string]uint64{}, map[string][]message{}
	}
	if n.noise != nil {
		batch = n.disturb(batch)
	}
	if n.mix != nil {
		n.mix.Shuffle(len(batch), func(i, j int) { batch[i], batch[j] = batch[j], batch[i] })
	}
	n.deliver(w, batch)
}

func (n *wire) disturb(batch []message) []message {
	var arrives []message
	for _, m := range batch {
		if old := n.old[m.cluster]; len(old) > 0 && n.noise.IntN(8) == 0 {
			arrives = append(arrives, old[n.noise.IntN(len(old))]) // replayed
		}
		switch n.noise.IntN(12) {
		case 0: // lost
			continue
		case 1: // late
			n.under = append(n.under, m)
			continue
		case 2: // twice
			arrives = append(arrives, m)
		}
		arrives = append(arrives, m)
		n.old[m.cluster] = append(n.old[m.cluster], m)
		if k := len(n.old[m.cluster]); k > 4 {
			n.old[m.cluster] = n.old[m.cluster][k-4:]
		}
	}
	n.noise.Shuffle(len(arrives), func(i, j int) { arrives[i], arrives[j] = arrives[j], arrives[i] })
	return arrives
}

func (n *wire) deliver(w *world, batch []message) {
	w.state.Rows = slices.Clone(w.state.Rows)
	for _, m := range batch {
		row := w.row(m.cluster)
		if row.Assignment == nil || m.seq <= n.heard[m.cluster] {
			continue
		}
		n.heard[m.cluster] = m.seq
		report := m.report
		row.Report = &report
		if w.hub != nil {
			w.hub.report(m.cluster, &report)
		}
	}
}

// crashes has a spoke come back with the state that it had before, and say so first.
func (w *world) crashes(c *rollout.Cluster) {
	s := w.spokes[c.ID]
	if s.ran.State != fleet.Active {
		return
	}
	s.runs, s.since = s.ran, w.real().Add(-time.Hour)
	if c.Connected {
		if report := s.act(w, c); report != nil {
			s.sent++
			w.wire.deliver(w, []message{{c.ID, s.sent, *report}})
		}
	}
}
