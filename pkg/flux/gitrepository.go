package flux

import (
	"net/url"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
)

// SourceAPIVersion is the API version of Flux's sources.
const SourceAPIVersion = "source.toolkit.fluxcd.io/v1"

// GitRepository is the spec of the source kind of that name.
type GitRepository struct {
	URL      string        `json:"url"`
	Interval *Duration     `json:"interval"`
	Timeout  *Duration     `json:"timeout,omitempty"`
	Ref      *GitReference `json:"ref,omitempty"`
	// SecretRef names a Secret of the same namespace, given to the hub, with username and password.
	SecretRef *SecretRef `json:"secretRef,omitempty"`
	Suspend   bool       `json:"suspend,omitempty"`
}

// GitReference says what to check out: commit before tag before branch; none of them is branch master.
type GitReference struct {
	Branch string `json:"branch,omitempty"`
	Tag    string `json:"tag,omitempty"`
	Commit string `json:"commit,omitempty"`
}

// SecretRef names a Secret of the referrer's namespace.
type SecretRef struct {
	Name string `json:"name"`
}

// GetTimeout is the time one conversation with the Git server may take: 60 s unless set.
func (g GitRepository) GetTimeout() time.Duration {
	if g.Timeout == nil {
		return time.Minute
	}
	return g.Timeout.Duration
}

// Validate returns the FieldErrors of g.
func (g GitRepository) Validate() error {
	var fields fleet.Fields
	g.validateURL(&fields)
	positive(&fields, "spec.interval", g.Interval, required)
	positive(&fields, "spec.timeout", g.Timeout, optional)
	if g.SecretRef != nil {
		fields.Require("spec.secretRef.name", g.SecretRef.Name)
	}
	if g.Ref != nil && g.Ref.Commit != "" && !isCommit(g.Ref.Commit) {
		fields.Refuse("spec.ref.commit", "%q is not a full commit hash of 40 or 64 hex digits", g.Ref.Commit)
	}
	return fields.Err()
}

func (g GitRepository) validateURL(fields *fleet.Fields) {
	parsed, err := url.Parse(g.URL)
	switch {
	case g.URL == "":
		fields.Require("spec.url", "")
	case err != nil:
		fields.Refuse("spec.url", "is not a URL")
	case parsed.Scheme == "ssh":
		fields.Refuse("spec.url", "ssh is not supported yet (http and https are)")
	case parsed.Scheme != "http" && parsed.Scheme != "https":
		fields.Refuse("spec.url", "scheme %q is not http or https", parsed.Scheme)
	case parsed.Host == "":
		fields.Refuse("spec.url", "names no host")
	case parsed.User != nil:
		fields.Refuse("spec.url", "holds credentials: give them in a Secret named by spec.secretRef")
	}
}

func isCommit(text string) bool {
	for _, c := range text {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(text) == 40 || len(text) == 64
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
	case d != nil && d.problem != "":
		fields.Refuse(path, "%s", d.problem)
	case d != nil && d.Duration <= 0:
		fields.Refuse(path, "must be more than zero")
	}
}
