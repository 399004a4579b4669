package worker

import (
	"slices"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
	"flotilla.dev/flotilla/pkg/telemetry"
)

// decoded returns a Manifest that is in the cache, if not all its blobs; nil: it is not.
func (w *worker) decoded(digest fleet.Digest) *manifest.Manifest {
	if digest.IsZero() {
		return nil
	}
	if w.manifest != nil && w.manifest.Digest() == digest {
		return w.manifest
	}
	encoded, err := w.pool.Blobs.Blob(digest)
	if err != nil {
		return nil
	}
	m, err := manifest.Decode(encoded)
	if err != nil {
		w.log.Warn("a cached manifest is not understood", telemetry.KeyDigest, digest, telemetry.KeyErr, err)
		return nil
	}
	return m
}

// whole reports whether all blobs of a Manifest are in the cache.
func (w *worker) whole(m *manifest.Manifest) bool {
	return !slices.ContainsFunc(m.Entries, func(entry manifest.Entry) bool { return !w.pool.Blobs.Has(entry.Digest) })
}

// complete reports whether all that the App's objects were made of is in the cache.
func (w *worker) complete() bool {
	return !slices.ContainsFunc(w.pool.Engine.AppliedBlobs(w.app), func(digest fleet.Digest) bool { return !w.pool.Blobs.Has(digest) })
}

// pin keeps in the cache the Manifests, which may be nil, their blobs, and what the App's objects were made of, be it of
// a release that failed on the way; and nothing else of this App.
func (w *worker) pin(manifests ...*manifest.Manifest) {
	digests := slices.Clone(w.pool.Engine.AppliedBlobs(w.app))
	for _, m := range manifests {
		if m == nil {
			continue
		}
		digests = append(digests, m.Digest())
		for _, entry := range m.Entries {
			digests = append(digests, entry.Digest)
		}
	}
	w.pool.Blobs.Pin(w.app.String(), digests)
}
