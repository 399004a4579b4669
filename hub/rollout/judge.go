package rollout

import (
	"flotilla.dev/flotilla/pkg/fleet"
)

// judge stops a Rollout in which more has failed than may, paused or not, before anything goes forward.
func (t *turn) judge() {
	if t.ro.Phase != Running && t.ro.Phase != Paused {
		return
	}
	if message := t.breach(); message != "" {
		t.halt(ReasonFailureBudget, message)
	}
}

// halt stops the Rollout because its Release is bad, and takes it back where the policy says so. What it goes back to was
// good before, and is no worse for a cluster that it cannot mend.
func (t *turn) halt(reason Reason, message string) {
	if t.ro.Kind == Forward {
		t.track.judge(t.ro.Target, Bad, t.ro.ID, t.Now)
	}
	t.stop(reason, message)
}

// stop stops the Rollout, and takes it back where the policy says so.
func (t *turn) stop(reason Reason, message string) {
	back := t.ro.Policy.OnFailure.Action == fleet.RollbackOnFailure && t.ro.Kind == Forward
	if back && t.ro.NoRollback {
		message += "; it is not rolled back: the App's annotation " + NoRollbackAnnotation + " says so"
	}
	t.phase(Halted, reason, message)
	if back && !t.ro.NoRollback {
		t.rollBack(t.ro.Policy.OnFailure.Scope, message)
	}
}

// NoRollbackAnnotation on an App says that its Release cannot be taken back, as after a migration: a Rollback is a Halt.
const NoRollbackAnnotation = "fleet.flotilla.dev/no-rollback"
