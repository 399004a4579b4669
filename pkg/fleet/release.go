package fleet

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Revision is what a Source resolved to, immutable, in Flux's RFC-0005 format: "main@sha1:<hex>", "sha256:<hex>".
type Revision string

// NamedBy reports whether a person means the Revision by a name: by all of it, or by what is left of that where its hash is cut
// to its first 7 digits or more, and what is before the hash left out: "main@sha1:696f056d", "sha1:696f056d", "696f056d".
func (r Revision) NamedBy(name string) bool {
	before, hash := splitHash(string(r))
	start, digits := splitHash(name)
	switch {
	case string(r) == name:
		return name != ""
	case len(digits) < leastDigits || !strings.HasPrefix(hash, digits) || strings.Trim(digits, hexDigits) != "":
		return false
	}
	return start == "" || start == before || strings.HasSuffix(before, "@"+start)
}

const (
	hexDigits = "0123456789abcdef"
	// leastDigits of a hash name it, as Git abbreviates one.
	leastDigits = 7
)

// splitHash splits a Revision before its hash.
func splitHash(revision string) (before, hash string) {
	at := strings.LastIndexAny(revision, ":@") + 1
	return revision[:at], revision[at:]
}

// DeletionPolicy says what becomes of an App's objects when the App is deleted (Flux Kustomization
// spec.deletionPolicy).
type DeletionPolicy string

// The deletion policies, named as Flux names them.
const (
	MirrorPrune        DeletionPolicy = "MirrorPrune"
	DeleteObjects      DeletionPolicy = "Delete"
	WaitForTermination DeletionPolicy = "WaitForTermination"
	OrphanObjects      DeletionPolicy = "Orphan"
)

// Release is an App at a Revision, built: what is rolled out, pinned and rolled back to. It is immutable and named by
// its Digest. Revisions are recorded beside it, because many may resolve to one Release.
type Release struct {
	App Key `json:"app"`
	// Manifest is the digest of the built object list.
	Manifest Digest `json:"manifest"`

	// The release fields of the App's spec: those that change what is applied, so that they are rolled out.

	// Prune removes objects that left the Manifest.
	Prune bool `json:"prune,omitempty"`
	// PruneGuard is the value of annotation fleet.flotilla.dev/prune-guard: "N", "N%", "off", or empty for the
	// default max(5, 20 %).
	PruneGuard string `json:"pruneGuard,omitempty"`
	ReleaseSpec
	// SubstituteValues has the cluster's variables put into the values of a HelmRelease.
	SubstituteValues bool `json:"substituteValues,omitempty"`
	// DependsOn are Apps of the same cluster that have to be ready first.
	DependsOn []Dependency `json:"dependsOn,omitempty"`
}

// Encode returns the release's deterministic encoding: JSON with fixed field order.
func (r Release) Encode() []byte {
	data, err := json.Marshal(r)
	if err != nil {
		panic(fmt.Sprintf("encode release: %v", err)) // strings and digests always encode
	}
	return data
}

// Digest names the release.
func (r Release) Digest() Digest { return DigestOf(r.Encode()) }

// Terms are what an App's declaration says of how its objects are applied: what a Release has of that.
type Terms struct {
	Prune      bool   `json:"prune,omitempty"`
	PruneGuard string `json:"pruneGuard,omitempty"`
	ReleaseSpec
	SubstituteValues bool `json:"substituteValues,omitempty"`
}

// Encode returns t as DecodeTerms reads it.
func (t Terms) Encode() []byte {
	data, err := json.Marshal(t)
	if err != nil {
		panic(fmt.Sprintf("encode terms: %v", err)) // strings always encode
	}
	return data
}

// DecodeTerms reads what Encode wrote.
func DecodeTerms(data []byte) (t Terms, err error) {
	if err := json.Unmarshal(data, &t); err != nil {
		return t, fmt.Errorf("terms: %w: %w", ErrInvalid, err)
	}
	return t, nil
}

// Under returns the release under other terms.
func (r Release) Under(t Terms) Release {
	r.Prune, r.PruneGuard, r.ReleaseSpec, r.SubstituteValues = t.Prune, t.PruneGuard, t.ReleaseSpec, t.SubstituteValues
	return r
}

// TakesVariables reports whether the cluster's variables are for the release.
func (r Release) TakesVariables() bool { return r.PostBuild != nil || r.SubstituteValues }

// IsZero reports whether r names no App.
func (r Release) IsZero() bool { return r.App == Key{} }

// DecodeRelease reads what Encode wrote.
func DecodeRelease(data []byte) (Release, error) {
	var r Release
	if err := json.Unmarshal(data, &r); err != nil {
		return Release{}, fmt.Errorf("decode release: %w: %w", ErrInvalid, err)
	}
	return r, nil
}
