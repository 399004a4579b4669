package fleet

// Cluster is the spec of the fleet kind of that name: a registered cluster. Its labels are metadata, and the hub's:
// a spoke never sets what is targeted by.
type Cluster struct{}

// Validate returns the FieldErrors of c.
func (c Cluster) Validate() error { return nil }

// ClusterAnnotation marks an App's instance, where the hub shows one, with the name of the cluster that it is in.
const ClusterAnnotation = "fleet.flotilla.dev/cluster"

// ClusterFacts are what a spoke says of its cluster. Nothing is targeted by them.
type ClusterFacts struct {
	SpokeVersion      string `json:"spokeVersion,omitempty"`
	KubernetesVersion string `json:"kubernetesVersion,omitempty"`
	KubeSystemUID     string `json:"kubeSystemUID,omitempty"`
}
