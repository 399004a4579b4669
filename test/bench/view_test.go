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

func value(text string) map[string]string { return map[string]string{"value": text} }

func TestGoalIsReachedWithTheLastObject(t *testing.T) {
	t.Parallel()
	v := newView()
	v.observe("a", value("1"), at(0))
	g := v.expect(map[string]map[string]string{"a": value("2"), "b": value("2")})
	v.observe("b", value("2"), at(1))
	v.observe("other", value("2"), at(2))
	v.observe("a", value("1"), at(3))
	if got := reachedAt(g); got != -1 {
		t.Fatalf("reached at %d without a", got)
	}
	v.observe("a", value("2"), at(4))
	if got := reachedAt(g); got != 4 {
		t.Errorf("reached at %d, want 4", got)
	}
	v.observe("a", value("1"), at(5)) // no goal is left to reach
	v.observe("a", value("2"), at(6))
}

// An edit by hand is undone once the object was wrong and is right again, extra fields and deletions included.
func TestObjectThatIsRightHasToBecomeWrongFirst(t *testing.T) {
	t.Parallel()
	for name, edited := range map[string]map[string]string{
		"changed": value("by hand"),
		"added":   {"value": "1", "extra": "by hand"},
		"deleted": nil,
	} {
		v := newView()
		want := map[string]map[string]string{"a": value("1")}
		v.expect(want)
		v.observe("a", value("1"), at(0))
		g := v.expect(want)
		v.observe("a", value("1"), at(1)) // something else of it has changed
		v.observe("a", edited, at(2))
		if got := reachedAt(g); got != -1 {
			t.Errorf("%s: reached at %d, before the revert", name, got)
		}
		v.observe("a", value("1"), at(3))
		if got := reachedAt(g); got != 3 {
			t.Errorf("%s: reached at %d, want 3", name, got)
		}
	}
}
