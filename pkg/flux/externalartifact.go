package flux

// ExternalArtifact is the spec of the source kind of that name (Flux source.toolkit.fluxcd.io/v1): what it has is pushed
// to the hub, not fetched by it.
type ExternalArtifact struct {
	// SourceRef says who makes the artifact, for people.
	SourceRef *ExternalSourceRef `json:"sourceRef,omitempty"`
}

// ExternalSourceRef names any object.
type ExternalSourceRef struct {
	APIVersion string `json:"apiVersion,omitempty"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	Namespace  string `json:"namespace,omitempty"`
}
