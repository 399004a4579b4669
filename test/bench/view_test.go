package main

import (
	"testing"
	"time"
)

// at is the moment of an observation: so many seconds after the beginning.
func at(second int64) time.Time { return time.Unix(second, 0) }

// reachedAt is the second at which a goal was reached; -1: it is not.
func reachedAt(g *goal) int64 {
	select {
	case when := <-g.reached:
		return when.Unix()
	default:
		return -1
	}
}

func TestGoalIsReachedWithTheLastObject(t *testing.T) {
	t.Parallel()
	v := newView(nil, 0)
	v.observe("a", "1", at(0))
	g := v.expect(map[string]string{"a": "2", "b": "2"})
	v.observe("b", "2", at(1))
	v.observe("other", "2", at(2))
	v.observe("a", "1", at(3))
	if got := reachedAt(g); got != -1 {
		t.Fatalf("reached at %d without a", got)
	}
	v.observe("a", "2", at(4))
	if got := reachedAt(g); got != 4 {
		t.Errorf("reached at %d, want 4", got)
	}
	v.observe("a", "1", at(5)) // no goal is left to reach
	v.observe("a", "2", at(6))
}

// An edit by hand is undone once the object was wrong and is right again, deletions included.
func TestObjectThatIsRightHasToBecomeWrongFirst(t *testing.T) {
	t.Parallel()
	for name, edited := range map[string]string{"changed": "by hand", "deleted": ""} {
		v := newView(nil, 0)
		want := map[string]string{"a": "1"}
		v.expect(want)
		v.observe("a", "1", at(0))
		g := v.expect(want)
		v.observe("a", "1", at(1)) // something else of it has changed
		v.observe("a", edited, at(2))
		if got := reachedAt(g); got != -1 {
			t.Errorf("%s: reached at %d, before the revert", name, got)
		}
		v.observe("a", "1", at(3))
		if got := reachedAt(g); got != 3 {
			t.Errorf("%s: reached at %d, want 3", name, got)
		}
	}
}
