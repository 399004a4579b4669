package source

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
)

// Fetcher brings what sources declare. Errors that say what a person can do are an *Error.
type Fetcher interface {
	// Resolve asks upstream what the spec points to now, cheaply.
	Resolve(ctx context.Context, u Upstream) (fleet.Revision, error)
	// Fetch brings that revision as a Tree: ignore-filtered, limits checked; only blobs that the store lacks are
	// written.
	Fetch(ctx context.Context, u Upstream, revision fleet.Revision) (*artifact.Tree, error)
}

// Upstream is what is asked: all that declared sources with the same spec and credential have in common.
type Upstream struct {
	// ID is a stable key of spec and credential; a mirror belongs to it.
	ID string
	// URL of the repository: http or https, without user and password.
	URL string
	Ref Ref
	// Timeout of one Resolve or Fetch; zero is 60 s, Flux's default.
	Timeout time.Duration
	// Credential, or nil.
	Credential *Credential
}

// Ref says what to follow: Commit before Tag before Branch; none is branch master (Flux GitRepository spec.ref).
type Ref struct {
	Branch string
	Tag    string
	Commit string
}

// Credential is what the Secret of a source holds.
type Credential struct {
	// Username and Password for basic authentication; both empty: none.
	Username string
	Password string
	// CAFile is a PEM bundle of authorities to trust beside the system's.
	CAFile []byte
}

// defaultTimeout and defaultBranch are Flux's.
const (
	defaultTimeout = time.Minute
	defaultBranch  = "master"
)

var (
	commitHash = regexp.MustCompile(`^[0-9a-f]{40}$`)
	// refName is the safe part of git check-ref-format: what may stand in a file name, a URL and a log.
	refName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._/@+=-]{0,199}$`)
)

// validate refuses what no upstream can be. Its errors wrap fleet.ErrInvalid and hold no credential.
func (u Upstream) validate() error {
	parsed, err := url.Parse(u.URL)
	switch {
	case err != nil:
		return fmt.Errorf("%w: the source's url is not a URL", fleet.ErrInvalid)
	case parsed.Scheme != "http" && parsed.Scheme != "https":
		return fmt.Errorf("%w: %s: only http and https are supported", fleet.ErrInvalid, redact(u.URL))
	case parsed.Host == "":
		return fmt.Errorf("%w: %s: the URL names no host", fleet.ErrInvalid, redact(u.URL))
	case parsed.User != nil:
		return fmt.Errorf("%w: %s: user and password belong into a Secret, not into the URL", fleet.ErrInvalid, redact(u.URL))
	case parsed.RawQuery != "" || parsed.Fragment != "":
		return fmt.Errorf("%w: %s: a URL of a repository has no query", fleet.ErrInvalid, redact(u.URL))
	case u.ID == "":
		return fmt.Errorf("%w: %s: the upstream has no ID", fleet.ErrInvalid, redact(u.URL))
	case u.Ref.Commit != "" && !commitHash.MatchString(u.Ref.Commit):
		return fmt.Errorf("%w: %s: commit %q is not 40 hex digits", fleet.ErrInvalid, redact(u.URL), u.Ref.Commit)
	}
	for _, name := range []string{u.Ref.Branch, u.Ref.Tag} {
		if name != "" && (!refName.MatchString(name) || strings.Contains(name, "..") || strings.HasSuffix(name, ".lock")) {
			return fmt.Errorf("%w: %s: %q is not a name of a branch or tag", fleet.ErrInvalid, redact(u.URL), name)
		}
	}
	return nil
}

// revision is the Revision of a commit: "main@sha1:<hex>", or "sha1:<hex>" when nothing but the commit was asked for.
func (r Ref) revision(commit string) fleet.Revision {
	name := r.Branch
	switch {
	case r.Commit == "" && r.Tag != "":
		name = r.Tag
	case r.Commit == "" && r.Branch == "":
		name = defaultBranch
	}
	if name == "" {
		return fleet.Revision("sha1:" + commit)
	}
	return fleet.Revision(name + "@sha1:" + commit)
}

// commitOf reads the commit of a Revision.
func commitOf(revision fleet.Revision) (string, error) {
	text := string(revision)
	if i := strings.LastIndex(text, "@"); i >= 0 {
		text = text[i+1:]
	}
	commit, found := strings.CutPrefix(text, "sha1:")
	if !found || !commitHash.MatchString(commit) {
		return "", fmt.Errorf("%w: revision %q is not one of Git", fleet.ErrInvalid, revision)
	}
	return commit, nil
}

// String names what is followed, for people.
func (r Ref) String() string {
	switch {
	case r.Commit != "":
		return "commit " + r.Commit
	case r.Tag != "":
		return "tag " + r.Tag
	case r.Branch != "":
		return "branch " + r.Branch
	}
	return "branch " + defaultBranch
}

// redact is a URL as it may be shown: without user and password.
func redact(address string) string {
	parsed, err := url.Parse(address)
	if err != nil {
		return "(a malformed URL)"
	}
	parsed.User, parsed.RawQuery, parsed.Fragment = nil, "", ""
	return parsed.String()
}
