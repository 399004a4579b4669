// Package job is what the spoke and the process that has Helm's SDK say to each other. The spoke does not link the SDK:
// a spoke without a HelmRelease pays nothing for it, and what a chart does to the SDK ends that process only.
package job
