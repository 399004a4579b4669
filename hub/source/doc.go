// Package source asks upstreams what they hold and fetches it: a [Fetcher] resolves an [Upstream] to a Revision and
// brings that Revision as a Tree, whose files are blobs in the store.
//
// [Git] keeps a bare mirror of every upstream on disk. What does not change costs one request (the list of the
// upstream's refs); what changes costs the objects that the mirror lacks. A mirror is only a cache: it is thrown away
// when it is damaged, too large, or of no more use.
//
// Everything an upstream sends is taken for hostile: it is bounded in bytes, objects, entries and time, and nothing but
// plain files below plain paths comes out. Where the hub may connect to is the administrator's decision ([Addresses]),
// checked on the resolved address of every connection.
package source
