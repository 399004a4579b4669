// Package artifact is what a source was fetched as: a [Tree] of files, each a blob named by its digest. Beside it are the
// ways into a Tree and out of it, and how it is kept.
//
// Archives come in by [Extract], a file at a time and within [ExtractLimits], or by [Unpack], which stores them; [Pack] makes
// one whose bytes follow from the files alone. Symbolic links are left out with a warning; all else that is no plain file
// below a plain path is refused, by name. [Ignore] has Flux's rules on what is no part of an artifact. [NewTree] refuses
// what no tree of files can be, so that readers of a Tree need no checks of their own.
//
// A [Store] keeps blobs, and a [Keeper] keeps those that another blob needs for as long as that one. A Tree is stored as
// [Tree.Nodes], and read by [Load]. DESIGN.md says why it is stored so.
package artifact
