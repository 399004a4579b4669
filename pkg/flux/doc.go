// Package flux is Flux's kinds as Flotilla takes them: the spec of each, its defaults and its validation, and a table
// that says where every field acts.
//
// FIELDS.md has a table for each kind: every field, where it acts, and the tests that prove it.
//
// The meaning of a field is the one Flux gives it (fluxcd.io, Source, Kustomize and Notification API v1). A
// field that is not in the table is refused when the object is applied; nothing is accepted and ignored.
package flux
