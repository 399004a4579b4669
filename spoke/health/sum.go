package health

import (
	"cmp"
	"fmt"
	"slices"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Conflict is the state of an object that somebody fights for. It is none of kstatus'.
const Conflict = "Conflict"

// worst first: what a report has no room for is the least of it.
var severity = []string{Conflict, Failed, NotFound, Terminating, InProgress}

// Sort orders objects that are not ready, the worst first.
func Sort(sick []fleet.ObjectStatus) {
	slices.SortFunc(sick, func(a, b fleet.ObjectStatus) int {
		return cmp.Or(slices.Index(severity, a.Status)-slices.Index(severity, b.Status), a.Object.Compare(b.Object))
	})
}

// Sum is what the objects of an App come to that has so many, of which these are not ready, in the order of Sort. Known
// says that it is known which they are.
func Sum(sick []fleet.ObjectStatus, of int, known bool) fleet.Condition {
	switch {
	case len(sick) == 0 && !known:
		return fleet.Condition{Status: fleet.Unknown, Reason: fleet.ReasonProgressing, Message: "not looked at yet"}
	case len(sick) == 0:
		return fleet.Condition{Status: fleet.True, Reason: fleet.ReasonSucceeded, Message: fmt.Sprintf("%d objects are ready", of)}
	}
	first := sick[0]
	message := fmt.Sprintf("%s: %s: %s", first.Object, first.Status, first.Message)
	if len(sick) > 1 {
		message += fmt.Sprintf(", and %d more objects", len(sick)-1)
	}
	if slices.ContainsFunc(sick, func(s fleet.ObjectStatus) bool { return s.Status == Failed || s.Status == Conflict }) {
		return fleet.Condition{Status: fleet.False, Reason: fleet.ReasonHealthCheckFailed, Message: message}
	}
	return fleet.Condition{Status: fleet.Unknown, Reason: fleet.ReasonProgressing, Message: message}
}
