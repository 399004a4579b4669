// Package render runs builds of tenants' input in child processes, so that no input can take the hub down, slow it, or
// reach what it must not: kustomize has no bounds, keeps state in globals, and ends the process on some errors.
//
// The children are started beforehand from the same binary ([Main]) with limits on memory and processor time, an empty
// environment, no way to the network and nothing to write to. They own no file of a source: a [Pool] sends a job, and
// the child asks for every file it needs over a pipe. So the parent knows exactly what a build looked at, which is what
// a later tree is compared by ([build.Key]).
//
// One child runs one build at a time, and builds of one tenant only. It is replaced after a number of builds, for
// another tenant, and after any failure that is not just an error in the input. What a child says is read as hostile
// input: bounded, and believed only to be a build's result.
package render
