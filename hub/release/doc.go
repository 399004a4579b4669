// Package release turns what upstreams have into Releases: a due Source is resolved to a Revision, a new Revision
// is fetched as a Tree, and every App on it is built to a Manifest and recorded as a Release.
//
// Everything is done once, however many Apps, clusters and declared Sources there are: Sources with the same spec and
// credential share an upstream, a build is found by its whole input, and an App whose build gives the Release it had
// moves to the new Revision without a word to any spoke.
//
// A bad Source or App stops no other: each upstream is looked at by a goroutine of its own, and what went wrong is
// stored with it. The last good state stays.
package release
