// Package helm fetches HelmRepositories ([Helm.Repositories]) and HelmCharts ([Helm.Charts]).
//
// A repository over HTTP is its index.yaml, asked for with what the server said of it last (ETag, Last-Modified), parsed
// once for the whole hub and kept, as few bytes, by its digest. A repository of type oci is only an address: nothing is
// fetched of it ([source.Static]).
//
// A chart is packaged once. From a repository it keeps upstream's own bytes unless spec.valuesFiles changes it; of a directory in
// a GitRepository or Bucket a package is made, with the dependencies that it lacks. The same input makes the same bytes. Where a
// chart is in a registry, the Fetcher of OCIRepositories has it, with the credentials of the HelmRepository, and looks at its
// signatures.
//
// Where it differs from Flux:
//   - Flux marks a chart with values files by the HelmChart's generation (6.0.3+2). Upstreams are shared by all objects of one
//     spec, which have no generation in common, so the mark is the first 12 digits of a digest of spec.valuesFiles and
//     spec.ignoreMissingValuesFiles (6.0.3+1f0c...): it changes when what is packaged does.
//   - spec.verify of a chart whose repository is over HTTP always fails in Flux. Here the provenance file beside the chart is
//     looked at, as helm --verify does, by the PGP public keys in the Secret of verify.secretRef (keys *.asc or *.gpg).
//   - An index may name the SHA-256 of a chart. If it does, what is downloaded must have it.
//   - A dependency keeps its own name and is aliased by helm when it is installed, not when it is packaged.
//   - A link in a packaged chart is left out, and a directory that is not a chart does not pass for one.
package helm
