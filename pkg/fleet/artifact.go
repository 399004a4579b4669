package fleet

import (
	"encoding/json"
	"fmt"
)

// ArtifactDetail is what a Source's status says of its artifact beside revision, digest and time.
type ArtifactDetail struct {
	// Size is the bytes of the files.
	Size int64 `json:"size,omitempty"`
	// Metadata are annotations of an OCI artifact, or what was pushed with an artifact.
	Metadata map[string]string `json:"metadata,omitempty"`
	// Verified says whose signature was found, for people; empty: none was asked for. VerifiedMode is a GitRepository's.
	Verified     string `json:"verified,omitempty"`
	VerifiedMode string `json:"verifiedMode,omitempty"`
	// Included are the artifacts of a GitRepository's includes, in their order.
	Included []IncludedArtifact `json:"included,omitempty"`
	// Chart, ValuesFiles and SourceRevision are what a HelmChart was made of.
	Chart          string   `json:"chart,omitempty"`
	ValuesFiles    []string `json:"valuesFiles,omitempty"`
	SourceRevision string   `json:"sourceRevision,omitempty"`
	// Packaged: the HelmChart's package was made here, of a directory or with other values; else it is as it was found.
	Packaged bool `json:"packaged,omitempty"`
	// Observed is the part of the spec that the artifact was made by and that status repeats, as a JSON object of Flux's
	// status fields (observedIgnore and others).
	Observed json.RawMessage `json:"observed,omitempty"`
}

// Summary says in Flux's words what a Source has at the revision, with the reason of the condition and of the event: of a chart
// how it was come by, of all else that it is stored.
func (d ArtifactDetail) Summary(revision Revision) (reason, message string) {
	if d.Chart == "" {
		return "Succeeded", fmt.Sprintf("stored artifact for revision '%s'", revision)
	}
	reason, did := "ChartPullSucceeded", "pulled"
	if d.Packaged {
		reason, did = "ChartPackageSucceeded", "packaged"
	}
	message = fmt.Sprintf("%s '%s' chart with version '%s'", did, d.Chart, revision)
	if len(d.ValuesFiles) > 0 {
		message += fmt.Sprintf(" and merged values files %v", d.ValuesFiles)
	}
	return reason, message
}

// IncludedArtifact is another Source's artifact in this one.
type IncludedArtifact struct {
	Name     string   `json:"name"`
	Revision Revision `json:"revision"`
	Tree     Digest   `json:"tree"`
}
