package deploy

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Reasons of events.
const (
	reasonApplied   = "Applied"
	reasonPruned    = "Pruned"
	reasonOrphaned  = "Orphaned"
	reasonDrift     = "DriftCorrected"
	reasonConflict  = "Conflict"
	reasonTakenOver = "TakenOver"
	// Made anew, by force.
	reasonRecreated = "Recreated"
)

func (e *Engine) event(a *app, ref fleet.ObjectRef, warning bool, reason, message string) {
	e.config.Event(fleet.Event{App: a.key, Object: ref, Warning: warning, Reason: reason, Message: message, At: time.Now()})
}

// tally is what a pass has done.
type tally struct {
	mu         sync.Mutex
	created    int
	configured int
	drifted    int
	deleted    int
	examples   []string
}

func (t *tally) count(s *step, wrote, drifted bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case drifted:
		t.drifted++
	case wrote && s.preview.Create:
		t.created++
	case wrote:
		t.configured++
	default:
		return
	}
	if len(t.examples) < 3 {
		t.examples = append(t.examples, s.Ref.String())
	}
}

// String says what was done; empty: nothing.
func (t *tally) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var parts []string
	for _, part := range []struct {
		n    int
		word string
	}{{t.created, "created"}, {t.configured, "configured"}, {t.drifted, "put back"}, {t.deleted, "deleted"}} {
		if part.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.n, part.word))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	text := strings.Join(parts, ", ")
	if len(t.examples) > 0 {
		text += ": " + strings.Join(t.examples, ", ")
		if more := t.created + t.configured + t.drifted - len(t.examples); more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
	}
	return text
}
