// Package decrypt decrypts what SOPS has encrypted, with keys from a Secret of the workload cluster: age and PGP, and
// behind the build tag cloudkms the key services of AWS, Azure and GCP, and Vault. It reads no disk, runs no program and,
// without that tag, uses no network. Plaintext leaves it by its results only: no error holds any.
//
// [Parse] reads a Secret's data into [Keys]. [Keys.Object] decrypts a Kubernetes object, or the documents in the data of a
// Secret; [Keys.File] a file that a build reads. Semantics are those of Flux' kustomize-controller:
//
//   - An object is decrypted when it has the fields sops and sops.mac, and no annotation
//     kustomize.toolkit.fluxcd.io/decrypt: disabled.
//   - Otherwise, of a Secret each value of data that bears the mark of an encrypted document is decrypted by itself, into
//     the format that its key says.
//   - The sum over a document (sops.mac) is not checked, neither of objects nor of files: kustomize adds to objects, and
//     people edit what is not encrypted. Each encrypted value is authenticated with the keys that lead to it.
//
// # Why it is not the library of SOPS
//
// The root package of github.com/getsops/sops/v3, which every other but shamir, age and pgp imports, links the SDKs of
// five clouds. Measured on linux/amd64 with the spoke at rest without a cluster (VmRSS after 2 s, the median of three):
//
//	                               binary     RSS, of it anonymous
//	without decryption             59.8 MiB   35.0 MiB   5.1 MiB
//	linked with sops/v3/decrypt   102.0 MiB   58.0 MiB   8.4 MiB
//	linked with age and OpenPGP    60.5 MiB   33.4 MiB   5.2 MiB
//
// A spoke may have 64 MiB with its watches filled. Besides, the library decrypts PGP with a keyring on disk or the program
// gpg, age with whatever identity the process' home has when it is given none, follows YAML aliases without bound, and
// logs comments that it cannot decrypt. So the format is read here, over filippo.io/age and ProtonMail/go-crypto, and
// SOPS' own package for data keys split by Shamir. The library is what the tests encrypt with and compare to: what [Keys.File]
// prints is the same bytes, on documents drawn at random too.
//
// Building what has encrypted files among its inputs links kustomize whole: with the tag of make build, 65.7 MiB and 36.8
// MiB resident, 5.3 of it anonymous; without that tag 83.0 and 58.2.
package decrypt
