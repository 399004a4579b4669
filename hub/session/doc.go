// Package session serves the spokes: it enrols them, sends each the desired state of its cluster, takes what they
// report, and streams them the Manifests they lack.
//
// A session is one Connect call. It keeps nothing but what it sent last; everything else is in the store, so any
// replica can serve any spoke at any time. The session allots the next (version, digest) of its cluster's state, fenced
// by its session number: of two sessions of one cluster, only the newer can.
//
// A spoke that holds a state which this hub never issued is ahead of the database. Its cluster is then in safe mode:
// nothing of the state is sent, so that no tombstone and no pruning change can reach it, until a person has recovered
// the hub.
package session
