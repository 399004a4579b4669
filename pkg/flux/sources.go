package flux

import "flotilla.dev/flotilla/pkg/fleet"

// Validate returns the FieldErrors of e.
func (e ExternalArtifact) Validate() error {
	var fields fleet.Fields
	if e.SourceRef != nil {
		fields.Require("spec.sourceRef.kind", e.SourceRef.Kind)
		fields.Require("spec.sourceRef.name", e.SourceRef.Name)
	}
	return fields.Err()
}
