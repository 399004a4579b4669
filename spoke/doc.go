// Package spoke is the agent of a workload cluster: the one place where its parts meet. Reading [Run] is reading the
// process. Kustomizations are deploy's to act on, HelmReleases helm's, the session and the workers are the same for both.
package spoke
