// Package oci fetches OCIRepositories: artifacts in registries of the OCI distribution specification.
//
// Resolve is one request for a tag's digest (a list of tags goes before it for a range of versions), and none for a
// digest. Fetch pulls the manifest by that digest, checks the signature that spec.verify asks for, and takes one layer:
// extracted, without what is ignored, or as it is.
//
// Registries are spoken to by a client of our own; DESIGN.md says why, and what it bounds. It sends a credential to the
// registry that it is for, and to the token service that the registry names, never in plain text unless spec.insecure is
// set. Downloads of blobs are followed to other hosts, as registries have it, without credentials: their digests say what
// they must be.
package oci
