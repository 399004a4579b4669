// Package store keeps the fleet's state in Postgres: a file a noun, the SQL of each function beside it.
//
// The database is the only place where the hub's parts meet. A loop reads rows, writes rows, and is woken; a wake-up
// says "look", never "what" (see [Store.Watch]). What others must hear of is written to the outbox in the same
// transaction, and notified by the outbox flush alone, because NOTIFY takes a global lock at commit.
//
// Whoever changes something does it through one function, [Store.transact], which takes the caller and writes the audit
// row of a person's change in the same transaction. Multi-row writes lock in (cluster, app) order.
//
// The bytes of blobs are rows too, or objects in S3-compatible storage (content); which there are, and what reaches them,
// is in the tables in either case. Bytes are there before their row and go after it, and a write of an object has a name of
// its own, so that no row ever names what a sweep has taken.
//
// Readers never page by a sequence, since commit order is not sequence order: each watched row carries the transaction
// that wrote it, and a reader that looked with horizon h asks next for rows written by transactions from h on.
package store
