// Package oci is the shape of Flux's artifacts in registries: what a pipeline pushes, and Flux or a hub pulls. It speaks to
// no registry.
package oci
