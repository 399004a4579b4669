package source

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
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

// validate refuses what no upstream can be: what was applied to an older hub may be so. Its errors wrap
// fleet.ErrInvalid and hold no credential.
func (u Upstream) validate() error {
	if u.ID == "" {
		return fmt.Errorf("%w: %s: the upstream has no ID", fleet.ErrInvalid, redact(u.URL))
	}
	for _, field := range []struct {
		path, value string
		problem     func(string) string
	}{
		{"spec.url", u.URL, flux.URLProblem}, {"spec.ref.commit", u.Ref.Commit, flux.CommitProblem},
		{"spec.ref.branch", u.Ref.Branch, flux.RefProblem}, {"spec.ref.tag", u.Ref.Tag, flux.RefProblem},
	} {
		if field.value == "" && field.path != "spec.url" {
			continue
		}
		if problem := field.problem(field.value); problem != "" {
			return fmt.Errorf("%w: %s: %s: %s", fleet.ErrInvalid, redact(u.URL), field.path, problem)
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
	if !found || flux.CommitProblem(commit) != "" {
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
