package drift

import (
	"fmt"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
)

// trouble is kept of an object while something is the matter with it, and for a while after.
type trouble struct {
	ref     fleet.ObjectRef
	finding *Finding
	// streak counts corrections, and failures attempts that failed, each soon after the one before.
	streak   int
	failures int
	// last is when the object was last corrected; notBefore is when it may be again.
	last      time.Time
	notBefore time.Time
	// calm counts doubts that were none, each soon after the one before; looked is when the last one was, and
	// restsUntil when the next one is looked into: what others keep writing, but never what is ours, need not be each time.
	calm       int
	looked     time.Time
	restsUntil time.Time
	// conflict says that somebody fights for the object, or why it cannot be put right.
	conflict string
}

const (
	// soon: a correction that follows the one before by less is part of the same fight.
	soon = 10 * time.Second
	// freeTries is how many corrections in a row are made at once, and how many doubts looked at. A person who tries
	// again three times is no fight.
	freeTries = 4
	// backoffFirst doubles with every further correction or failure, up to backoffMax; with every further doubt that
	// was none, up to restMax.
	backoffFirst = time.Second
	backoffMax   = 5 * time.Minute
	restMax      = 30 * time.Second
)

// wait is how long the finding has to wait.
func (tr *trouble) wait() time.Duration {
	if tr.finding != nil && tr.finding.Verdict == Doubtful && tr.restsUntil.After(tr.notBefore) {
		return time.Until(tr.restsUntil)
	}
	return time.Until(tr.notBefore)
}

// corrected notes a correction and reports whether the conflict began or ended.
func (tr *trouble) corrected(wrote bool) (changed bool) {
	now := time.Now()
	tr.failures = 0
	before := tr.conflict != ""
	if wrote {
		if tr.streak++; tr.fightOver(now) {
			tr.streak = 1
		}
		tr.last, tr.calm, tr.restsUntil = now, 0, time.Time{}
		tr.notBefore = now.Add(pause(tr.streak, backoffMax))
	} else {
		if tr.calm++; tr.calmOver(now) {
			tr.calm = 1
		}
		tr.looked = now
		tr.restsUntil = now.Add(pause(tr.calm, restMax))
	}
	tr.conflict = ""
	if tr.streak > freeTries {
		tr.conflict = fmt.Sprintf("changed by others and put back %d times in a row", tr.streak)
	}
	return before != (tr.conflict != "")
}

func (tr *trouble) failed(err error) (changed bool) {
	before := tr.conflict
	tr.failures++
	tr.last = time.Now()
	tr.notBefore = tr.last.Add(min(backoffFirst<<min(tr.failures-1, 12), backoffMax))
	if tr.failures > 1 { // one failure may be a restart of the API server
		tr.conflict = "cannot be put right: " + err.Error()
	}
	return before != tr.conflict
}

// fightOver reports whether what comes now is no part of the row of corrections before.
func (tr *trouble) fightOver(now time.Time) bool {
	return now.Sub(tr.last) > soon+2*pause(tr.streak, backoffMax)
}

// calmOver reports whether the last doubt that was none is so long ago that a new one starts a new count.
func (tr *trouble) calmOver(now time.Time) bool {
	return now.Sub(tr.looked) > soon+2*pause(tr.calm, restMax)
}

// pause follows the n-th in a row.
func pause(n int, longest time.Duration) time.Duration {
	if n < freeTries {
		return 0
	}
	return min(backoffFirst<<min(n-freeTries, 12), longest)
}

// Conflicts returns those of the objects that are fought over, or cannot be put right, and why. It looks at them or,
// where these are fewer, at all that something is the matter with.
func (t *Tracker) Conflicts(of fleet.ObjectSet) map[fleet.ObjectRef]string {
	t.mu.Lock()
	defer t.mu.Unlock()
	conflicts := map[fleet.ObjectRef]string{}
	if of.Len() < len(t.troubles) {
		for _, ref := range of.Refs() {
			_, o := t.find(ref)
			if tr := t.troubles[o]; tr != nil && tr.conflict != "" {
				conflicts[tr.ref] = tr.conflict
			}
		}
		return conflicts
	}
	for _, tr := range t.troubles {
		if tr.conflict != "" && of.Has(tr.ref) {
			conflicts[tr.ref] = tr.conflict
		}
	}
	return conflicts
}

// sweep forgets troubles that are over.
func (t *Tracker) sweep() {
	now := time.Now()
	t.mu.Lock()
	var over []fleet.ObjectRef
	for o, tr := range t.troubles {
		if tr.finding != nil || !tr.fightOver(now) {
			continue
		}
		if tr.conflict != "" {
			over = append(over, tr.ref)
		}
		tr.streak, tr.failures, tr.conflict = 0, 0, ""
		if tr.calmOver(now) {
			delete(t.troubles, o)
		}
	}
	t.mu.Unlock()
	for _, ref := range over {
		t.changed(ref)
	}
}
