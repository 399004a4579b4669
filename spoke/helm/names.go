package helm

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

// names say where a release is: its name, and where its objects and its Secrets are.
type names struct {
	Release   string `json:"release"`
	Namespace string `json:"namespace"`
	Storage   string `json:"storage"`
}

// maxRelease is how long Helm lets the name of a release be, and shortHash how much of a hash stands in for what is cut off.
const (
	maxRelease = 53
	shortHash  = 12
)

// namesOf are those that the spec of an App says, as in Flux.
func namesOf(app fleet.Key, spec flux.HelmReleaseSpec) names {
	name := app.Name
	if spec.TargetNamespace != "" {
		name = spec.TargetNamespace + "-" + app.Name
	}
	name = cmp.Or(spec.ReleaseName, name)
	if len(name) > maxRelease {
		sum := sha256.Sum256([]byte(name))
		name = name[:maxRelease-shortHash-1] + "-" + hex.EncodeToString(sum[:])[:shortHash]
	}
	return names{
		Release: name, Namespace: cmp.Or(spec.TargetNamespace, app.Namespace), Storage: cmp.Or(spec.StorageNamespace, app.Namespace),
	}
}
