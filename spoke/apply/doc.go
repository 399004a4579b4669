// Package apply writes objects to a cluster and removes them: server-side apply as Flux does it, so that an object
// which Flux applied before, or will apply after, does not change by the hand-over.
//
//   - Mapper knows which resource a kind is, by discovery, a group version at a time, and finds one by what people type.
//   - Prepare turns the content of a Manifest's entry into what is sent.
//   - Where content of a built-in kind would be owned otherwise than Flux's, Prepare has it as Flux normalises it.
//   - Applier dry-runs, applies, reads metadata and deletes. Of most objects it reads metadata only; it reads whole those
//     that are compared, and those of which fields are left to others.
//   - Compare tells what an apply would make of an object. It writes nothing.
//   - Ignore are the rules that leave fields to others; what is sent then is made around what is there.
//   - An apply that fails because managedFields name a version that is gone moves them, and is sent again.
//   - Probe and AwaitGone are for an object that has to be deleted and made anew.
//   - Ownership is the rule about other managers' fields: which are taken over, and how.
//
// What to apply, and when, is decided elsewhere.
package apply
