package deploy

import "flotilla.dev/flotilla/pkg/fleet"

// AppliedBlobs returns what the App's objects were made of as they were last applied, of whatever releases. Of a Secret,
// and of what was resolved, it is known once a pass or Load has brought its Manifest.
func (e *Engine) AppliedBlobs(key fleet.Key) []fleet.Digest {
	a := e.known(key)
	if a == nil {
		return nil
	}
	var blobs []fleet.Digest
	for _, entry := range a.inventory().Entries() {
		if !entry.Applied.IsZero() && !entry.Resolved && !isSecret(entry.Ref) {
			blobs = append(blobs, entry.Applied)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, from := range a.origins {
		if from.inputs != nil && from.inputs.built != nil {
			blobs = append(blobs, from.inputs.built.sources...)
			continue
		}
		blobs = append(blobs, from.source.Digest)
	}
	return blobs
}
