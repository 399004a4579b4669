// Package rollout decides which Release each cluster should run. It is the only writer of Assignments.
//
// [Next] is the decision: a pure function from all that matters about one App ([State]) to the rows that should be
// written ([Step]). [Act] is the same with a [Command] of a person or a check before it, and [Plan] says what a Rollout
// would be without beginning it. [Engine] is the loop that feeds them: it finds the Apps about which something changed, or
// whose time has come, and for each of them loads, decides and commits in one transaction. Dropping all memory between two
// steps changes nothing. There is no clock, no randomness and no order of a map in a decision.
//
// Where a Placement names no RolloutPolicy, every placed cluster gets an App's Release at once. Where it does, a Release
// goes through the waves of a [Rollout], within its budgets and past its gates; what clusters get outside of one, because
// they were away, are new, or have something changed for them alone, is paced by catch-up, and so is the deletion of Apps
// in clusters that the Placement has left. Controls never wait for a Rollout.
//
// Of two Apps of one Source of which one depends on the other, the dependent gets its new Release in a cluster once the
// other is built at the Source's revision and its row there carries the outcome; that it is ready there is the spoke's to
// see.
//
// What ends an Assignment is a tombstone, and what a tombstone does follows from what went (the rows of the table are
// the cases of [State.tombstone]): absence of a declaration, as after a database was restored, ends nothing.
//
// DESIGN.md beside this file has the state machines, the rules and what must always hold.
package rollout
