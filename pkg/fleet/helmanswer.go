package fleet

import (
	"encoding/json"
	"time"
)

// HelmValues are those that a HelmRelease is made with in a cluster: what spec.valuesFrom names, spec.values and the
// Placement's, merged as Flux does it. The chart's own defaults are not among them.
type HelmValues struct {
	// Values are YAML; in the place of each that is from a Secret stands what Masked gives. Secret says that there is one.
	Values string `json:"values"`
	Secret bool   `json:"secret,omitempty"`
	// App, Plan (a flux.HelmPlan) and Binding are what they are made of, beside what is in the cluster.
	App     Key             `json:"app,omitzero"`
	Plan    json.RawMessage `json:"plan,omitempty"`
	Binding Binding         `json:"binding,omitzero"`
	// Cluster is the one they are of.
	Cluster *ClusterMark `json:"cluster,omitempty"`
}

// HelmHistory are the versions of a HelmRelease in a cluster, the newest first: what Helm has stored, and what the spoke
// has recorded of it.
type HelmHistory struct {
	Versions []HelmVersion `json:"versions"`
}

// HelmVersion is one version of a Helm release.
type HelmVersion struct {
	Version    int       `json:"revision"`
	Updated    time.Time `json:"updated,omitzero"`
	Status     string    `json:"status"`
	Chart      string    `json:"chart"`
	AppVersion string    `json:"appVersion,omitempty"`
	// Description is Helm's. Action is what made the version, where that was an action of the spoke.
	Description string `json:"description,omitempty"`
	Action      string `json:"action,omitempty"`
	// Tests say how they ended, by name: Succeeded, Failed and so on.
	Tests map[string]string `json:"tests,omitempty"`
	// Foreign: somebody else made the version, or has written it since. Gone: Helm has it no more.
	Foreign bool `json:"foreign,omitempty"`
	Gone    bool `json:"gone,omitempty"`
}

// Recorded is the version that a snapshot is of.
func (s HelmSnapshot) Recorded() HelmVersion {
	v := HelmVersion{
		Version: s.Version, Updated: s.LastDeployed, Status: s.Status, Chart: s.ChartName + "-" + s.ChartVersion,
		AppVersion: s.AppVersion, Action: s.Action,
	}
	for name, hook := range s.TestHooks {
		if hook == nil || hook.Phase == "" {
			continue
		}
		if v.Tests == nil {
			v.Tests = map[string]string{}
		}
		v.Tests[name] = hook.Phase
	}
	return v
}
