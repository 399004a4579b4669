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
// What an App's last build with each of its last few recipes looked at is kept. For a new Revision that is looked up in
// the new Tree: a build that is known is not made again, whatever else the commit touched. If it is not known, what earlier
// builds looked at is looked up, too, so that a commit that goes back to older files is found built, and at last it is
// made. Only where builds have looked at something else more than sixteen times since, or at so much that what they looked
// at takes more than 2 MiB an App, may it be made again; as it comes to the same Manifest, it is the same Release. All of
// this is in the database: any replica finds what another one has built.
//
// Builds are shared within a namespace only. A namespace is a tenant, and a builder that a tenant's input got hold of
// must not make another tenant's Manifest.
//
// Where kustomize repeats a build and comes to something else, every build of the namespace is forgotten, as others may be
// as wrong, and is made again at the next Revision. The shape of the tree is kept for as long as the builder is of that
// version: kustomize itself builds such trees, in every replica and after a restart.
//
// Failures are not kept so: an App that does not build is tried at each Revision.
//
// # Charts
//
// The build of a HelmRelease is the packaged chart of its Source's Tree, and the plan of what is released: what its spec
// says, without what takes effect at once. Nothing is rendered, for that depends on the cluster. So another value makes
// another plan, and the chart's pieces are those of before. The HelmChart that spec.chart stands for is made by the store
// when the HelmRelease is declared; a HelmRelease is built only of what its Source has of what is declared now, and says
// so while there is nothing of that.
//
// # Conversations
//
// An upstream is what Sources with the same spec and the same credential share, whatever those are called and whatever
// namespace they are of. Upstreams at the same URL with the same credential have one remote. When one of them is due, a
// replica takes all of the remote that do not back off, and asks about them in one conversation: where one list does for
// all, as with Git, a thousand Sources cost no more than one. What fails for the remote is not tried for each of them.
// The replica that asked last, whose mirror is warm, asks again, unless it is gone or is late.
//
// A Source that is made of others has what their upstreams are at as inputs, and is due when those moved. A Source that
// names no Secret is asked for with what the administrator's Credentials give its namespace for its URL.
//
// Conversations have turns apart from those of builds, shared out among namespaces, and remotes that failed last have few
// of their own: what hangs holds up neither builds nor Sources that are well.
//
// A bad Source or App stops no other, and what went wrong is stored with it. The last good state stays, and it is stored
// since when it may not be what upstream has.
package release
