package fleet

import "time"

// Cluster is the spec of the fleet kind of that name: a registered cluster. Its labels are metadata, and the hub's:
// a spoke never sets what is targeted by.
type Cluster struct{}

// Validate returns the FieldErrors of c.
func (c Cluster) Validate() error { return nil }

// ClusterAnnotation marks an App's instance, where the hub shows one, with the name of the cluster that it is in.
const ClusterAnnotation = "fleet.flotilla.dev/cluster"

// LastAppliedAnnotation is where kubectl copies what it applied, a Secret's content included.
const LastAppliedAnnotation = "kubectl.kubernetes.io/last-applied-configuration"

// RevokedFor is how long a deleted cluster is remembered, so that its certificates are refused. None may be good, or
// renewable, for longer.
const RevokedFor = 400 * 24 * time.Hour

// Certificate is a cluster's, as far as one is told from another.
type Certificate struct {
	// Serial number, in hex.
	Serial string
	// IssuedAt is when its time begins.
	IssuedAt time.Time
}

// ClusterFacts are what a spoke says of its cluster. Nothing is targeted by them.
type ClusterFacts struct {
	SpokeVersion      string `json:"spokeVersion,omitempty"`
	KubernetesVersion string `json:"kubernetesVersion,omitempty"`
	// KubeSystemUID is that of the kube-system namespace, which tells one Kubernetes cluster from another; empty: not
	// known. The store keeps that of the cluster that enrolled.
	KubeSystemUID string `json:"-"`
}
