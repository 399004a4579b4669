// Package cache is what a spoke keeps on its volume: blobs by digest, records such as the last desired state, and a name
// of its own. With it a spoke restarts while the hub is away.
//
//	lock             flocked while a spoke uses the directory
//	holder           the spoke's name on its Lease
//	blobs/…          one file for the blobs that came together, numbered
//	…                one file a record, such as state
//	…                one file a log, such as changes: each line with its checksum
//
// Nothing in it is trusted and nothing in it is needed: a blob is verified on every read, every other file carries its
// checksum, and what does not fit is removed and counts as absent. What cannot be written is kept in memory. So a
// corrupt, full, read-only or lost volume costs a new fetch, never a stop.
package cache
