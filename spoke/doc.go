// Package spoke is the agent of a workload cluster: the one place where its parts meet. Reading [Run] is reading the
// process.
package spoke
