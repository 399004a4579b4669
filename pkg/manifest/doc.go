// Package manifest is the built object list of an App, content-addressed per object: the canonical form and digest of
// an object, the Manifest that lists them, and the packs that carry the difference of two Manifests.
//
// An object in which variables may stand, or which is encrypted, is in it as kustomize printed it: the spoke makes the
// object of that, with [Parse] and [EntryOf].
//
// [New] makes a Manifest and the blobs it names from what a build printed. [Manifest.Encode] and [Decode] are its
// stored form, which is also what travels; nobody encodes a decoded Manifest anew, so that its digest does not depend
// on anybody's version. [Pack] and [Unpack] carry a Manifest to a spoke that has another one.
package manifest
