// Package session keeps a spoke's session with the hub: it enrols the cluster, connects and reconnects, follows the
// desired state, reports until the hub has stored it, answers questions and fetches Manifests.
//
// A [Client] lives as long as the spoke acts; each connection is one round, ended by any failure and followed by the
// next after a pause. What is held over rounds is little, and each piece has one rule:
//
//   - identity (in a Secret of the cluster, [Secret]): changed before it is used, never lost between two steps
//   - the desired state (replica): only what the hub signed, never lower than before
//   - the reports (outbox): the latest word on each Assignment, until the hub says it is stored
//
// DESIGN.md says why. It is the only package of the spoke that knows the protocol's messages.
package session
