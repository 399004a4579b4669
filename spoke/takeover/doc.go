// Package takeover knows what a Flux in the cluster manages: what it does, Apps of the same name must not; what is suspended
// they take over.
package takeover
