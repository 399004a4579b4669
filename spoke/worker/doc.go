// Package worker carries out Assignments: one loop each, from the desired state to the report.
//
// A [Pool] starts a worker for each Assignment that the desired state names, or named once and never ended. A worker
// looks whenever something moves: its Assignment, the engine's status of the App, or a clock. What to do next is
// decide's to say, what to tell the hub is describe's; both are pure, and the loop only carries them out:
//
//	pass     take the Manifest from the cache or fetch it, then have the engine deploy it, on one of few slots
//	remove   have the engine carry out a tombstone, as often as it takes
//
// A pass waits, without a slot, until what its App depends on is ready, and is woken when that changes.
//
// Nothing begins of an App that an operator at the cluster has put on hold. What runs stays as it is, and drift of it is
// corrected: it is a suspension that stops that as well.
//
// A pass does not wait for health: the engine tells when it changes, and clocks run beside it.
//
// Engine, cache and session are reached through the interfaces declared here.
package worker
