// Package artifact is what a source was fetched as: a [Tree] of files, each a blob named by its digest, and the
// contract of the [Store] that keeps blobs.
//
// Everything that is not a plain file below a plain path has been dropped or refused before a Tree exists ([NewTree]),
// so that its readers need no checks of their own.
package artifact
