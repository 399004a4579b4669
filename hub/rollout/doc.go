// Package rollout decides which Release each cluster should run. It is the only writer of Assignments.
//
// [Next] is the decision: a pure function from all that matters about one App ([State]) to the rows that should be
// written ([Step]). [Engine] is the loop that feeds it: it finds the Apps about which something changed, and for each
// of them loads, decides and commits in one transaction. Dropping all memory between two steps changes nothing.
//
// A Rollout has one wave: every placed cluster gets an App's Release at once. Controls never wait for a wave.
//
// Of two Apps of one Source of which one depends on the other, the dependent gets its new Release in a cluster once the
// other is built at the Source's revision and its row there carries the outcome; that it is ready there is the spoke's to
// see.
//
// What ends an Assignment is a tombstone, and what a tombstone does follows from what went (the rows of the table are
// the cases of [State.tombstone]): absence of a declaration, as after a database was restored, ends nothing.
package rollout
