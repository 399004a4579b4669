// Package buildtest makes the trees that builds are tried on: directories of files that kustomize builds, at random and from
// a seed, and small ones of our own for each feature that kustomize documents. The random ones set every field of a
// kustomization file, refer to names wherever kustomize follows one, and are written in every way in which people write
// YAML. Most can be built, as most that people have can; a share is wrong on purpose, for what fails with kustomize has
// to fail with whatever builds in its place.
package buildtest
