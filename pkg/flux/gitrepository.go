package flux

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
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
	fields.Require("spec.url", g.URL)
	refuse(&fields, "spec.url", g.URL, URLProblem)
	positive(&fields, "spec.interval", g.Interval, required)
	positive(&fields, "spec.timeout", g.Timeout, optional)
	if g.SecretRef != nil {
		fields.Require("spec.secretRef.name", g.SecretRef.Name)
	}
	if g.Ref != nil {
		refuse(&fields, "spec.ref.commit", g.Ref.Commit, CommitProblem)
		refuse(&fields, "spec.ref.branch", g.Ref.Branch, RefProblem)
		refuse(&fields, "spec.ref.tag", g.Ref.Tag, RefProblem)
	}
	return fields.Err()
}

// refuse records the problem with a value that is given.
func refuse(fields *fleet.Fields, path, value string, problem func(string) string) {
	if value == "" {
		return
	}
	if text := problem(value); text != "" {
		fields.Refuse(path, "%s", text)
	}
}

// URLProblem says what is wrong with the address of a Git repository, without what may be secret in it; empty: nothing.
func URLProblem(address string) string {
	parsed, err := url.Parse(address)
	switch {
	case err != nil:
		return "is not a URL"
	case parsed.Scheme == "ssh":
		return "ssh is not supported yet (http and https are)"
	case parsed.Scheme != "http" && parsed.Scheme != "https":
		return fmt.Sprintf("scheme %q is not http or https", parsed.Scheme)
	case parsed.Host == "":
		return "names no host"
	case parsed.User != nil:
		return "holds credentials: give them in a Secret named by spec.secretRef"
	case parsed.RawQuery != "" || parsed.ForceQuery || parsed.Fragment != "":
		return "has a query or fragment, which the address of a repository cannot have"
	}
	return ""
}

var (
	commitHash = regexp.MustCompile(`^[0-9a-f]{40}$`)
	sha256Hash = regexp.MustCompile(`^[0-9a-f]{64}$`)
	// refName is the safe part of git check-ref-format: what may stand in a file name, a URL and a log.
	refName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._/@+=-]{0,199}$`)
)

// CommitProblem says what is wrong with a commit's hash; empty: nothing.
func CommitProblem(hash string) string {
	switch {
	case sha256Hash.MatchString(hash):
		return "a commit hash of 64 hex digits is not supported yet (40 are)"
	case !commitHash.MatchString(hash):
		return fmt.Sprintf("%q is not a full commit hash of 40 hex digits", hash)
	}
	return ""
}

// RefProblem says what is wrong with the name of a branch or tag; empty: nothing.
func RefProblem(name string) string {
	if !refName.MatchString(name) || strings.Contains(name, "..") || strings.HasSuffix(name, ".lock") {
		return fmt.Sprintf("%q is not a name of a branch or tag (letters, digits and . _ / @ + = - are supported)", name)
	}
	return ""
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
