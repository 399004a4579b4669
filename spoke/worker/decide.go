package worker

import (
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

// step is what a worker does next.
type step int

const (
	rest step = iota
	pass
	remove
	// fetch has at hand what a hold keeps from being applied: when it ends the hub may be away.
	fetch
)

// decision is the next step and when it is due. A zero time is never: only something that moves can change it.
type decision struct {
	step   step
	verify bool
	at     time.Time
}

// progress is what a worker has done since the spoke started, and what it remembers from before.
type progress struct {
	// last is the latest pass or removal that came to its end, of whatever Assignment; nil: none yet.
	last *outcome
	// handled is the last reconcile request that a pass has served.
	handled string
	// unverified asks for a full pass: drift was not corrected for a while, or a full pass was cut off.
	unverified bool
	// removed is the generation whose tombstone is done; zero: none.
	removed generation
	// nudged says that the engine's status changed since the last pass or removal began.
	nudged bool
	// woken says that the engine calls for a pass: what the App refers to has changed.
	woken bool
	// flux says that a Flux in the cluster manages the App, unsuspended.
	flux bool
	// incomplete says that a blob is lost of what is applied: drift of its object cannot be put right.
	incomplete bool
}

// outcome is how a pass or a removal ended.
type outcome struct {
	step step
	// generation, run (a fleet.RunDigest), approved and controls (those of the spec) are what it was told.
	generation generation
	run        fleet.Digest
	approved   fleet.Digest
	controls   fleet.Controls
	verify     bool
	// removed says that a removal is done, brought that a pass was of something else than the one before it.
	removed      bool
	brought      bool
	began, ended time.Time
	// failure is nil after a success; failures counts those in a row, at the same run.
	failure  *Failure
	failures int
	// spread is the jitter of what follows: a fraction, from -0.1 to 0.1.
	spread float64
}

const (
	// firstPause and longestPause bound the fast retries of what may pass by itself.
	firstPause   = time.Second
	longestPause = 30 * time.Second
	// nudgedPause is the pause where the engine says that something moved; removalPause is how often a removal that is
	// not done is tried again without that.
	nudgedPause = time.Second
	// wokenPause is the time between passes, at least, of an App that refers to what changes all the time.
	wokenPause   = time.Second
	removalPause = 15 * time.Second
)

// decide says what to do next for an Assignment, and when.
func decide(now time.Time, want Assigned, p progress) decision {
	switch {
	case want.generation() == generation{}: // nothing that is understood was ever assigned
		return decision{}
	case want.tombstone():
		return decideRemoval(now, want, p)
	case want.Suspend:
		return decision{}
	}
	last := p.last
	requested := want.RequestedAt != "" && want.RequestedAt != p.handled
	switch {
	case last == nil || last.step != pass:
		return decision{step: pass, verify: requested || p.unverified, at: now}
	case last.run != want.RunDigest(): // what is new serves a request
		return decision{step: pass, verify: p.unverified, at: now}
	case !want.ApprovedPrune.IsZero() && want.ApprovedPrune != last.approved, requested, p.unverified:
		return decision{step: pass, verify: requested || p.unverified, at: now}
	case p.woken:
		return decision{step: pass, verify: last.failure != nil && last.verify, at: last.began.Add(wokenPause)}
	case last.failure != nil && last.failure.Reason == fleet.ReasonManagedByFlux && p.nudged:
		return decision{step: pass, verify: last.verify, at: last.ended.Add(nudgedPause)} // Flux may have let go
	case last.failure != nil && last.controls != want.OfSpec():
		return decision{step: pass, verify: last.verify, at: now} // as in Flux: under another timeout it may succeed
	case last.failure != nil:
		return decision{step: pass, verify: last.verify, at: last.ended.Add(last.spreadOver(retryPause(want, last)))}
	case p.flux, p.incomplete:
		return decision{step: pass, at: now} // to be refused, and to say so; or to fetch what is lost
	}
	return decision{step: pass, verify: true, at: last.ended.Add(last.spreadOver(max(want.interval(), fullPeriod)))}
}

// servedByLast reports whether a request needs no pass of its own: what it asked for, to have what is new now, was done since by
// the last one. The hub passes a request that is to look at the Source first on when the Apps of that Source are built, and
// by then their new Releases are on their way. Of a request that found nothing new a person expects a full pass.
func servedByLast(want Assigned, p progress) bool {
	if want.RequestedAt == "" || want.RequestedAt == p.handled || want.tombstone() || want.Suspend ||
		p.last == nil || p.last.step != pass || p.last.failure != nil || !p.last.brought || p.last.run != want.RunDigest() {
		return false
	}
	_, at := fleet.CutRequest(want.RequestedAt)
	return !at.IsZero() && p.last.began.After(at)
}

func decideRemoval(now time.Time, want Assigned, p progress) decision {
	last := p.last
	switch {
	case p.removed == want.generation():
		return decision{}
	case last == nil || last.step != remove || last.generation != want.generation():
		return decision{step: remove, at: now}
	case p.nudged && last.failure == nil:
		return decision{step: remove, at: last.ended.Add(nudgedPause)}
	case last.failure != nil:
		return decision{step: remove, at: last.ended.Add(last.spreadOver(min(removalPause, retryPause(want, last))))}
	}
	return decision{step: remove, at: last.ended.Add(last.spreadOver(removalPause))}
}

// retryPause is the time until the next try after a failure: short at first where it may pass by itself, else what the
// App says, as in Flux. So it is for a terminal failure too: what an admission policy refuses it takes once that is
// mended in the cluster, and nothing tells the spoke.
func retryPause(want Assigned, last *outcome) time.Duration {
	if last.failure.RetryAfter > 0 {
		return last.failure.RetryAfter
	}
	if last.failure.Transient {
		return min(firstPause<<min(last.failures-1, 10), longestPause, want.retryInterval())
	}
	return want.retryInterval()
}

func (o *outcome) spreadOver(d time.Duration) time.Duration {
	return d + time.Duration(o.spread*float64(d))
}

// overtakes reports whether a pass or removal that runs for one Assignment is pointless under another. What Helm has begun
// for an App that is suspended meanwhile it ends, as in Flux: cut short, it would leave a failed release.
func overtakes(running, want Assigned) bool {
	return running.tombstone() != want.tombstone() ||
		running.tombstone() && running.generation() != want.generation() ||
		running.RunDigest() != want.RunDigest() ||
		!running.Suspend && want.Suspend && !want.tombstone() && want.App.Kind != flux.HelmReleaseKind
}

// spares reports whether what is begun in a pass that is overtaken is to come to its end: an action of Helm's, as in Flux. Cut
// short, it would leave a failed release, and its hooks' Jobs at work beside those of the next. Who removes an App waits for none.
func spares(running, want Assigned) bool {
	return running.App.Kind == flux.HelmReleaseKind && running.tombstone() == want.tombstone()
}
