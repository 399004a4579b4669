package flux

import (
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
)

// SourceAPIVersion is the API version of Flux's sources.
const SourceAPIVersion = "source.toolkit.fluxcd.io/v1"

// GitRepository is the spec of the source kind of that name (Flux source.toolkit.fluxcd.io/v1).
type GitRepository struct {
	URL      string        `json:"url"`
	Interval *Duration     `json:"interval"`
	Timeout  *Duration     `json:"timeout,omitempty"`
	Ref      *GitReference `json:"ref,omitempty"`
	// SecretRef names a Secret of the same namespace, given to the hub.
	SecretRef          *SecretRef `json:"secretRef,omitempty"`
	Provider           string     `json:"provider,omitempty"`
	ServiceAccountName string     `json:"serviceAccountName,omitempty"`
	ProxySecretRef     *SecretRef `json:"proxySecretRef,omitempty"`
	Verify             *GitVerify `json:"verify,omitempty"`
	// Ignore holds patterns of .gitignore; they come after those of the repository's .sourceignore files.
	Ignore            *string      `json:"ignore,omitempty"`
	RecurseSubmodules bool         `json:"recurseSubmodules,omitempty"`
	Include           []GitInclude `json:"include,omitempty"`
	SparseCheckout    []string     `json:"sparseCheckout,omitempty"`
	Suspend           bool         `json:"suspend,omitempty"`
}

// GitReference says what to check out: commit before name before semver before tag before branch; none of them is branch
// master.
type GitReference struct {
	Branch string `json:"branch,omitempty"`
	Tag    string `json:"tag,omitempty"`
	SemVer string `json:"semver,omitempty"`
	// Name of a ref such as refs/pull/1/head.
	Name   string `json:"name,omitempty"`
	Commit string `json:"commit,omitempty"`
}

// GitVerify says which signatures a revision must have, by the public keys of which Secret.
type GitVerify struct {
	// Mode is HEAD (the default; also head), Tag or TagAndHEAD.
	Mode      string    `json:"mode,omitempty"`
	SecretRef SecretRef `json:"secretRef"`
}

// GitInclude copies what another GitRepository of the namespace has into this one.
type GitInclude struct {
	Repository SecretRef `json:"repository"`
	FromPath   string    `json:"fromPath,omitempty"`
	// ToPath is the repository's name unless set.
	ToPath string `json:"toPath,omitempty"`
}

// SecretRef names an object of the referrer's namespace: a Secret, in most fields.
type SecretRef struct {
	Name string `json:"name"`
}

// GetTimeout is the time one conversation with the Git server may take: 60 s unless set.
func (g GitRepository) GetTimeout() time.Duration { return timeoutOr60s(g.Timeout) }

func timeoutOr60s(timeout *Duration) time.Duration {
	if timeout == nil {
		return time.Minute
	}
	return timeout.Duration
}

// timeout checks the timeout of a source, which Flux takes without the unit h.
func timeout(fields *fleet.Fields, d *Duration) {
	positive(fields, "spec.timeout", d, optional)
	if d != nil && d.InHours() {
		fields.Refuse("spec.timeout", "may have the units ms, s and m, not h: write %dm", int(d.Duration/time.Minute))
	}
}

type presence bool

const (
	required presence = true
	optional presence = false
)

func positive(fields *fleet.Fields, path string, d *Duration, need presence) {
	switch {
	case d == nil && need == required:
		fields.Require(path, "")
	case d != nil && d.Problem() != "":
		fields.Refuse(path, "%s", d.Problem())
	case d != nil && d.Duration <= 0:
		fields.Refuse(path, "must be more than zero")
	}
}
