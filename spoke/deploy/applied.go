package deploy

import "flotilla.dev/flotilla/pkg/fleet"

// AppliedBlobs returns the content of the App's objects as it was last applied, of whatever releases. Of a Secret it is
// known once a pass or Load has brought its Manifest.
func (e *Engine) AppliedBlobs(key fleet.Key) []fleet.Digest {
	a := e.known(key)
	if a == nil {
		return nil
	}
	var blobs []fleet.Digest
	for _, entry := range a.inventory().Entries() {
		if !entry.Applied.IsZero() && !isSecret(entry.Ref) {
			blobs = append(blobs, entry.Applied)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, content := range a.secrets {
		blobs = append(blobs, content)
	}
	return blobs
}
