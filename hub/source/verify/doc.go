// Package verify verifies signatures of what registries hold: who signed, and that it is what was fetched. Those of commits
// and of charts over HTTP are looked at in git and helm.
//
// [Verifier] verifies artifacts in registries, by cosign and by notation. It trusts what the Source's Secrets hold, and for
// keyless signatures a trusted root that the administrator gives; it fetches no trust from anywhere. Signatures, like
// all that is pushed, are anybody's: they are bounded in number and size, and a broken one is one that does not count.
package verify
