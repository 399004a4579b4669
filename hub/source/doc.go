// Package source asks upstreams what they hold and fetches it: a [Fetcher] resolves an [Upstream] to what is [Found] and
// brings that as an [Artifact], a Tree whose files are blobs in the store.
//
// Each kind of source has a package below this one, and verify, beside them, looks at the signatures of what registries
// hold. What they share is here: [Network] (connections, and all that bounds them), [Upstream.TLS], [Upstream.Proxy] and
// [Upstream.BadSecret] (what Secrets say of a connection), [NewWriter] (files into the store), [Error] and
// [Upstream.Explain] (what went wrong, in words for people), [StoreFailure] (what went wrong at the hub itself), [Recent]
// (what is remembered). [Kinds] is the Fetcher of all kinds, and [Measured] one whose calls are counted. Kinds do not import
// each other.
//
// Everything an upstream sends is taken for hostile: it is bounded in bytes, objects, entries and time, and nothing but
// plain files below plain paths comes out. Where the hub may connect to is the administrator's decision ([Addresses]),
// checked on the resolved address of every connection. A host has few conversations at a time, and is left alone for as
// long as it asks for.
package source
