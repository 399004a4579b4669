package flux

import (
	"encoding/json"
	"fmt"

	"flotilla.dev/flotilla/pkg/fleet"
)

// HelmPlan is what a spoke makes a release of, beside the chart's archive. It is a part of the App's Manifest: a change
// of it is rolled out, and ships nothing else.
type HelmPlan struct {
	// Spec without what is a control: the timeouts and intervals in it are not set.
	Spec HelmReleaseSpec `json:"spec"`
	// Chart that the archive is.
	Chart HelmArtifact `json:"chart"`
	// SubstituteValues has the cluster's variables put into the values.
	SubstituteValues bool `json:"substituteValues,omitempty"`
}

// HelmArtifact says where a chart's archive is from.
type HelmArtifact struct {
	// Revision of the Source, as Flux shows it: the chart's version, with the digest of an OCIRepository's artifact behind a
	// plus sign.
	Revision string `json:"revision"`
	// OCIDigest is the digest of a Source's Revision, as Flux shows it: "sha256:...", with the tag before it where that is no
	// version; of an ExternalArtifact whose Revision has none, that of its files; of a HelmChart empty. It is a part of the
	// version then, so that what was pushed again is upgraded to.
	OCIDigest string `json:"ociDigest,omitempty"`
	// Source is "Kind/namespace/name" of the HelmChart, OCIRepository or ExternalArtifact.
	Source string `json:"source"`
}

// Encode returns p as DecodeHelmPlan reads it: the same plan gives the same bytes.
func (p HelmPlan) Encode() ([]byte, error) {
	data, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("%w: spec.values: %w", fleet.ErrInvalid, err) // the one field that may not encode
	}
	return data, nil
}

// DecodeHelmPlan reads what Encode wrote.
func DecodeHelmPlan(data []byte) (p HelmPlan, err error) {
	if err := json.Unmarshal(data, &p); err != nil {
		return p, fmt.Errorf("plan of a Helm release: %w: %w", fleet.ErrInvalid, err)
	}
	return p, nil
}
