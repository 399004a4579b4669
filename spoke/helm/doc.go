// Package helm is a HelmRelease's life in a cluster: it makes the cluster have the release that a Manifest says, keeps it
// so, and gets rid of it, by Flux's state machine and with Helm's own SDK.
//
// The SDK runs in a process of its own ([Runner]), one for each pass in which something may have changed, that ends with
// the pass: a chart may panic, or eat memory, and ends that process only. What is decided, recorded and watched is here, as
// DESIGN.md tells; package job is what the two say to each other, process starts the program, and sdk is what runs in it.
package helm
