// Package bucket fetches the objects of a bucket of object storage: S3 and what speaks like it, Google Cloud Storage and
// Azure Blob Storage, behind one small interface.
//
// A revision is what Flux makes of the bucket's list: SHA-256 over sorted lines of key and ETag, so that a bucket that
// moves here has the revision that it had. What has not changed since it was last fetched is not fetched again.
package bucket
