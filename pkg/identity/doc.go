// Package identity is who is who between a hub and its spokes: the key that a hub is, its CA, the certificates of
// clusters, join tokens, the signature over desired state, and the TLS configurations that follow from them.
//
// Everything of a hub derives from one 32-byte key file by HKDF-SHA-256, one label a purpose: a [Root]. An emptied
// database beside the same key file is therefore the same hub to its spokes. The derivation labels are part of the
// format: changing one makes another hub.
//
// A cluster is known by exactly one URI SAN, spiffe://<trust domain>/cluster/<uuid>, in a certificate that the hub's
// CA issued. It is good for a day and renewed at half its life, with a new key. One that ran out, since the hub or the
// spoke was away, is good for renewing alone: a hub that was down over a weekend does not lock its spokes out. Which
// certificates of a cluster are good, and for how long one may be renewed, is the hub's to say (hub/session).
//
// A hub is known by the SHA-256 of its CA's public key, the pin, and by its Ed25519 key that signs state.
//
// CA and state keys are Ed25519: any 32 derived bytes are a valid key, and signatures are deterministic, so the CA's
// certificate is the same, byte for byte, wherever the key file is, and nothing has to be stored. TLS 1.3, the only
// version spoken here, has it in every implementation that matters.
package identity
