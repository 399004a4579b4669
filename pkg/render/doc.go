// Package render runs builds of tenants' input in child processes, so that no input can take the hub down, slow it, or
// reach what it must not: kustomize has no bounds, keeps state in globals, and ends the process on some errors.
//
// The children are started beforehand from the same binary ([Main]) with limits on memory and processor time, an empty
// environment, no way to the network and nothing to write to. They own no file of a source: a [Pool] sends a job, and the
// child asks for what it needs over a pipe. The pool tells what a directory has, with the digests of its files, and the
// child asks for the contents only that it does not hold. Contents are asked for one by one: the last one is where a build
// was that went over a limit, which is what a person is told. The child says which of it all the build looked at, and that
// is what a later tree is compared by ([build.Key]).
//
// One child runs one build at a time, and builds of one tenant only: what it holds of earlier builds, so that a build
// costs what changed, never comes near another tenant's. It is replaced after a number of builds and after any failure
// that is not just an error in the input; idle ones go when they take too much memory together. A build that brings a
// schema has a fresh child, which serves no other: kustomize keeps schemas in globals. What a child says is read as
// hostile input: bounded, and believed only to be what a build of this tenant came to.
//
// Tenants take turns ([run.Turns]): many builds of one wait as one, and the first of a tenant does not wait for another's
// long ones.
//
// Some builds that kustomize did not make itself it repeats. The pool has what was built before that begins, and it counts
// if the limits do not let kustomize come to an end. Where it comes to something else, that is the build's result,
// and kustomize makes such builds of that tenant from then on, as long as the pool lives.
package render
