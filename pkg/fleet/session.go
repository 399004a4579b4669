package fleet

import "time"

// JoinToken is the stored half of a join token.
type JoinToken struct {
	ID         string
	SecretHash Digest
	TTL        time.Duration
}

// Session is one connection round of a cluster's spoke. Its number fences out the sessions before it.
type Session struct {
	Cluster string
	Number  uint64
	// Serial of the certificate that it was opened with: it ends when another takes its place.
	Serial string
	// SafeMode says why nothing of the state is sent; empty: it is.
	SafeMode string
}

// Desired is the full desired state of a cluster: its encoded Assignments by key.
type Desired map[string][]byte

// Digests returns the digest of each Assignment's bytes.
func (d Desired) Digests() map[string]Digest {
	digests := make(map[string]Digest, len(d))
	for key, payload := range d {
		digests[key] = DigestOf(payload)
	}
	return digests
}

// ReportBatch is what a spoke says in one call.
type ReportBatch struct {
	Session      uint64
	Sequence     uint64
	Acknowledged StateID
	Reports      []Report
	Unknown      []Key
	Events       []Event
}
