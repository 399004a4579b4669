// Package session serves the spokes: it enrols them, sends each the desired state of its cluster, takes what they
// report, and streams them the Manifests they lack.
//
// A session is one Connect call. It keeps nothing but what it sent last; everything else is in the store, so any
// replica can serve any spoke at any time. The session allots the next (version, digest) of its cluster's state, fenced
// by its session number: of two sessions of one cluster, only the newer can.
//
// Every call is judged anew by the certificate it comes with (Authorize): the hub's CA must have issued it, its serial
// must be the cluster's in use or the newest issued, which is the one in use from its first use on, and the cluster must
// not have been deleted. A session ends when another certificate takes the place of its own, when its own runs out, and
// when its cluster is deleted. A certificate that ran out is good for Renew alone, for 30 days: a hub that was down over
// a weekend finds its spokes again without anybody's help. One that was issued later than all that the database knows
// of is good too, since then the database was restored to an older time.
//
// A spoke that holds a state which this hub never issued is ahead of the database. Its cluster is then in safe mode:
// nothing of the state is sent, so that no tombstone and no pruning change can reach it, until a person has recovered
// the hub.
package session
