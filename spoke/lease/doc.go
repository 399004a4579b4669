// Package lease lets one agent of a cluster act at a time, under a coordination.k8s.io Lease.
//
// The holder renews every third of the Lease's life and stops acting when two thirds passed without a renewal, so that
// a third is left to stop in before another may take it. Nobody's clock is trusted but the own: another's Lease is free
// when it was seen not to change for as long as it lives. A Lease bounds who acts; it fences no write that is already
// on its way. That is left to the preconditions that every write of the spoke carries.
//
// An agent that waits for longer than the Lease lives puts its name on it, as an annotation. The holder, whose next
// renewal that disturbs, takes it off and tells people: as long as there is no second agent it costs nothing.
package lease
