package fleet

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Cluster is the spec of the fleet kind of that name: a registered cluster. Its labels are metadata, and the hub's:
// a spoke never sets what is targeted by.
type Cluster struct {
	// Variables are put into the objects of the Apps with postBuild that run in the cluster, with the lowest precedence.
	Variables map[string]string `json:"variables,omitempty"`
	// Taints keep Apps off whose Placements do not tolerate them.
	Taints []Taint `json:"taints,omitempty"`
}

// HoldAnnotation, on a Cluster, says why nothing new is to go there. In a cluster, on the spoke's namespace, on an App's or on
// Flux's object of an App's name, it says why the spoke applies and deletes nothing of it. "true", and nothing at all, hold
// for no reason that is told; "false" does not hold. What runs stays as it is, and drift of it is corrected, which only
// spec.suspend stops.
const HoldAnnotation = "fleet.flotilla.dev/hold"

// maxVariables bounds the names and values of a Cluster's variables together: they travel with every Assignment that has
// a use for them.
const maxVariables = 32 << 10

// Validate returns the FieldErrors of c.
func (c Cluster) Validate() error {
	var fields Fields
	size := 0
	for _, name := range slices.Sorted(maps.Keys(c.Variables)) {
		size += len(name) + len(c.Variables[name])
		if !IsVariable(name) {
			fields.Refuse("spec.variables["+name+"]", NoVariable)
		}
	}
	for i, t := range c.Taints {
		t.validate(&fields, indexed("spec.taints", i))
	}
	if size > maxVariables {
		fields.Refuse("spec.variables", "names and values have %d bytes together; %d are allowed", size, maxVariables)
	}
	return fields.Err()
}

// NoVariable is what is wrong with a name that IsVariable refuses.
const NoVariable = "is not the name of a variable: letters, digits and _, no digit first"

// IsVariable reports whether a variable can have the name.
func IsVariable(name string) bool {
	return name != "" && strings.Trim(name, letters+digits+"_") == "" && !strings.ContainsAny(name[:1], digits)
}

const (
	letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits  = "0123456789"
)

// The variables that every cluster has by itself: its name, and one for each of its labels.
const (
	VariableName        = "CLUSTER_NAME"
	VariableLabelPrefix = "CLUSTER_LABEL_"
)

// VariablesIn are the variables of the cluster of that name and labels: its own, CLUSTER_NAME, and CLUSTER_LABEL_<KEY> for
// each label, with the key in upper case and _ for every character but letters and digits. Its own win; of labels with the
// same variable the first by key does.
func (c Cluster) VariablesIn(name string, labels map[string]string) map[string]string {
	variables := map[string]string{VariableName: name}
	for _, key := range slices.Backward(slices.Sorted(maps.Keys(labels))) {
		variables[VariableLabelPrefix+variableOf(key)] = labels[key]
	}
	maps.Copy(variables, c.Variables)
	return variables
}

// variableOf is the part of a variable's name that stands for a label's key.
func variableOf(key string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(letters+digits, r) {
			return r
		}
		return '_'
	}, strings.ToUpper(key))
}

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
