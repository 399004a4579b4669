package fleet

import "time"

// HistoryEntry is a Revision of an App, or a Release of it in one cluster, and what became of it.
type HistoryEntry struct {
	Revision Revision
	// Release that it resolved to; zero: it could not be built.
	Release Digest
	// FirstAt and LastAt are when it was first and last built or, in a cluster, reported.
	FirstAt time.Time
	LastAt  time.Time
	// Current says that it is the newest.
	Current bool
	// Clusters is in how many clusters all objects of the Release are applied, as they last said.
	Clusters int
	// Ready is the last word on it: of the build, or of the cluster.
	Ready Condition
}
