// Package check has what gates of Rollouts ask asked, by the hub or by the cluster that it is about.
package check
