// Package apply writes objects to a cluster and removes them: server-side apply as Flux does it, so that an object
// which Flux applied before, or will apply after, does not change by the hand-over.
//
//   - Mapper knows which resource a kind is, by discovery, a group version at a time.
//   - Prepare turns the content of a Manifest's entry into what is sent.
//   - Applier dry-runs, applies, reads metadata and deletes. Answers are metadata only: nobody here needs the rest.
//   - Ownership is the rule about other managers' fields: which are taken over, and how.
//
// What to apply, and when, is decided elsewhere.
package apply
