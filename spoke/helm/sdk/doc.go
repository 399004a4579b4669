// Package sdk does with Helm's own SDK what a Job asks for: it is the one package that links it, and runs in a process of
// its own ([Main]), started for one App by spoke/helm/process.
//
// Every option acts as Flux's helm-controller has it act: what Helm stores of a release, and the digests that tell whether
// it is as it was ([Observation], values, post-renderers), are the same to the bit, so that a release can be taken over
// from Flux, and given back, without an upgrade.
//
// An action is cut short by its context at the next call to the API server, or the next look while it waits: Helm then
// marks the version failed, and nothing goes on behind. What is said of a failure has no value of a Secret and nothing that
// a template printed ([failing]).
package sdk
