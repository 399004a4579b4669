// Package identity is who the hub itself is at the clouds, the one way for all kinds of source. It comes from where the hub
// runs: its environment, a token that is mounted for its workload, or the metadata service of its machine, in that order.
// Nothing is run for it, and no profile of a person is read.
//
// Sources have it only where an administrator grants it; their kinds see to that. It is asked for by connections of its own,
// not through the sources' network: metadata services are what sources must never reach.
package identity
