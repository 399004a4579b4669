// Package release turns what upstreams have into Releases: a due Source is resolved to a Revision, a new Revision
// is fetched as a Tree, and every App on it is built to a Manifest and recorded as a Release.
//
// Everything is done once, however many Apps, clusters and declared Sources there are: Sources with the same spec and
// credential share an upstream, a build is found by its whole input, and an App whose build gives the Release it had
// moves to the new Revision without a word to any spoke.
//
// # What a build is known by
//
// A build is pure: it sees a Tree only through what it looks at, that is the files that it reads or asks for, there or
// not, and the directories that it lists. If everything that a build looked at in one Tree is the same in another, a build
// of the other proceeds alike from one look to the next, and comes to the same Manifest. So a build is known by its
// recipe (builder, path, build fields of the spec) and by what is in the Tree of what it looked at.
//
// It is kept what an App's last build with each of its last few recipes looked at. For a new Revision that is looked up in
// the new Tree: a build that is known is not made again, whatever else the commit touched. Is it not known, it is made,
// and what that one looked at takes the place of what was kept. A commit that goes back to older files may thus be built
// again, when the last build looked at other files; as it comes to the same Manifest, it is the same Release.
//
// Builds are shared within a namespace only. A namespace is a tenant, and a builder that a tenant's input got hold of
// must not make another tenant's Manifest.
//
// Failures are not kept so: an App that does not build is tried at each Revision.
//
// A bad Source or App stops no other: each upstream is looked at by a goroutine of its own, and what went wrong is
// stored with it. The last good state stays.
package release
