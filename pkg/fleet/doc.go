// Package fleet is Flotilla's vocabulary: the nouns that hub, spoke and fleetctl share, and the rules about them that
// need nothing but their values. One word has one meaning, and it is the meaning given here.
//
// Declared by people: Source, App (a Kustomization), [Placement], [Cluster], Secret. An App's [Key] names it across
// the fleet.
//
// Made by the hub: a [Revision] is what a Source resolved to; a [Release] is what an App is at a Revision, built; an
// [Assignment] says which Release a cluster should run, with its [Binding] and [Controls]; the full set of a
// cluster's Assignments is its desired state, named by a [StateID].
//
// Said by a spoke: a [Report] for each Assignment.
//
// The package imports only the standard library and is imported by everyone.
package fleet
