// Package deploy is a Kustomization's life in a cluster: it makes the cluster have what a Manifest says, keeps it so,
// and gets rid of it.
//
// An Engine serves all Apps of a spoke. [Engine.Run] keeps the watches; [Engine.Deploy] is one pass of one App:
//
//	resolve  what the cluster has of its own: decryption, the Placement's patches, variables, common metadata
//	plan     each entry of the Manifest against the inventory and what drift found: nothing, write, or verify
//	stage    by stage: dry-run what changes, note it in the inventory, apply group by group, wait for definitions
//	prune    what the inventory has and the Manifest has not, unless the guard holds it
//
// Objects are resolved as Flux does it: the text that kustomize printed is decrypted, patched, then filled with variables
// if the App has postBuild, and the common metadata is set last. An error there ends the pass before anything is written.
// The content is not kept, only of what it was made and with which inputs, so that a correction makes the same again; what
// has values of Secrets is never written to disk, is named in the inventory by a keyed hash, and no answer of the API
// server about it is shown. The ConfigMaps and Secrets that Apps refer to are watched by name, without their content: a
// change of one calls for a pass.
//
// Most Manifests need none of this, and their blobs are the content. Inputs that stayed the same are not read into
// objects again: each pass resolves what is new only. What the hub could not build, as generators or patches read
// encrypted files, comes as a sub-tree of files, which is decrypted and built here, in memory.
//
// Questions ([Engine.Diff], [Engine.Tree], [Engine.Trace], [Engine.Variables]) are answered from what is there now. They
// take no App's token and hold up no pass: a Diff resolves and dry-runs for a stand-in of the App, which nothing wakes.
//
// Two notes in the inventory make a crash at any write harmless. An entry without a UID is an object that was only
// intended: written before the first write, so that none is without an owner. An entry marked Going was let go by the
// guard, an approval or a tombstone: written before the first deletion, so that what went is not put back as drift, and
// what was agreed to once is carried through without being asked again.
//
// Between passes the Engine corrects drift and follows health by itself. An unchanged pass makes no request but
// to read what the App refers to, and a cluster at rest sees none.
//
// Objects change hands between Flux and an App of the same name without a write: what is sent is what Flux sends, and
// the inventory of a suspended Flux object is taken in before the first pass. An App whose Flux object is not suspended
// is refused.
//
// The parts are packages of their own: apply writes objects, inventory remembers which are whose, drift notices what
// others did, health says how they are, decrypt has the keys of SOPS, diff shows an object before and after. They meet here
// only.
package deploy
