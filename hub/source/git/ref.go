package git

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/go-git/go-git/v5/plumbing"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

// defaultBranch is Flux's.
const defaultBranch = "master"

// ref says what to follow: Commit before Name before SemVer before Tag before Branch.
type ref flux.GitReference

// refOf is what the upstream's spec says of it.
func refOf(u source.Upstream) ref {
	if spec := specOf(u); spec.Ref != nil {
		return ref(*spec.Ref)
	}
	return ref{}
}

func specOf(u source.Upstream) flux.GitRepository {
	spec, _ := u.Spec.(flux.GitRepository) // check has seen that it is one
	return spec
}

// check refuses what no upstream can be: what was applied to an older hub may be so. Its errors wrap fleet.ErrInvalid and
// hold no credential.
func check(u source.Upstream) error {
	spec, isGit := u.Spec.(flux.GitRepository)
	if !isGit || u.Remote == "" {
		return fmt.Errorf("%w: %s: the upstream is no GitRepository, or has no name", fleet.ErrInvalid, source.Redact(u.URL))
	}
	if err := spec.Validate(); err != nil {
		return fmt.Errorf("%s: %w", source.Redact(u.URL), err)
	}
	return nil
}

// String names what is followed, for people.
func (r ref) String() string {
	switch {
	case r.Commit != "":
		return "commit " + r.Commit
	case r.Name != "":
		return "ref " + r.Name
	case r.SemVer != "":
		return "a tag of the versions " + r.SemVer
	case r.Tag != "":
		return "tag " + r.Tag
	}
	return "branch " + cmp.Or(r.Branch, defaultBranch)
}

// fullName is the name of the one ref that is followed; none for a commit and for versions.
func (r ref) fullName() string {
	switch {
	case r.Commit != "", r.Name == "" && r.SemVer != "":
		return ""
	case r.Name != "":
		return r.Name
	case r.Tag != "":
		return tagPrefix + r.Tag
	}
	return branchPrefix + cmp.Or(r.Branch, defaultBranch)
}

const (
	branchPrefix = "refs/heads/"
	tagPrefix    = "refs/tags/"
)

// revision is the Revision of a commit that the ref of that full name is at: "main@sha1:<hex>", the whole name when the
// spec has a whole one, or "sha1:<hex>" when nothing but the commit was asked for.
func (r ref) revision(name, commit string) fleet.Revision {
	switch {
	case r.Commit != "":
		name = r.Branch
	case r.Name == "":
		name = strings.TrimPrefix(strings.TrimPrefix(name, branchPrefix), tagPrefix)
	}
	if name == "" {
		return fleet.Revision("sha1:" + commit)
	}
	return fleet.Revision(name + "@sha1:" + commit)
}

// refIn is the full name of the ref that a Revision of the upstream is of; empty: of none.
func (r ref) refIn(revision fleet.Revision) string {
	if r.Commit == "" && r.Name == "" && r.SemVer != "" {
		name, _, _ := strings.Cut(string(revision), "@sha1:")
		return tagPrefix + name
	}
	return r.fullName()
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

// find returns the refs that the spec may mean, by full name: one, or several tags of versions of the same rank, of
// which the one with the youngest commit is meant.
func (l *listing) find(u source.Upstream) ([]string, error) {
	r := refOf(u)
	if name := r.fullName(); name != "" {
		if l.commit(name).IsZero() {
			return nil, u.Fail(source.KindRef, "%s not found; check spec.ref", r)
		}
		return []string{name}, nil
	}
	names, err := newest(r.SemVer, l.tags())
	if err != nil {
		return nil, u.Fail(source.KindInvalid, "spec.ref.semver: %s", err)
	}
	if len(names) == 0 {
		return nil, u.Fail(source.KindRef, "no tag is a version within %q (a tag is one with three numbers, such as v1.2.3); check spec.ref.semver", r.SemVer)
	}
	for i := range names {
		names[i] = tagPrefix + names[i]
	}
	return names, nil
}

// commit is what a ref is at: of an annotated tag, the commit that it points to.
func (l *listing) commit(name string) plumbing.Hash {
	if commit, annotated := l.peeled[name]; annotated {
		return commit
	}
	return l.refs[name]
}

// tags are the names of those that are at a commit: a server may say that one points to nothing.
func (l *listing) tags() []string {
	var tags []string
	for name := range l.refs {
		if tag, is := strings.CutPrefix(name, tagPrefix); is && !l.commit(name).IsZero() {
			tags = append(tags, tag)
		}
	}
	slices.Sort(tags)
	return tags
}

// threePart is what Flux takes for a version: Masterminds' would take "v1" for 1.0.0.
var threePart = regexp.MustCompile(`^v?[0-9]+\.[0-9]+\.[0-9]+(?:[-+].*)?$`)

// newest are the tags of the highest version within the range: several when they differ by metadata or a "v" only.
// Pre-releases count where the range names one ("-0").
func newest(versions string, tags []string) ([]string, error) {
	within, err := semver.NewConstraint(versions)
	if err != nil {
		return nil, fmt.Errorf("%q is not a range of versions (such as 1.x or >=1.2.0 <2.0.0)", versions)
	}
	var best *semver.Version
	var names []string
	for _, tag := range tags {
		if len(tag) > maxVersion || !threePart.MatchString(tag) || flux.RefProblem(tag) != "" {
			continue
		}
		version, err := semver.NewVersion(tag)
		if err != nil || !within.Check(version) {
			continue
		}
		switch {
		case best == nil || version.GreaterThan(best):
			best, names = version, []string{tag}
		case version.Equal(best):
			names = append(names, tag)
		}
	}
	return names[:min(len(names), maxTies)], nil
}

const (
	// maxVersion is how long a tag may be that is taken for a version.
	maxVersion = 200
	// maxTies bounds the tags of the same version whose commits are compared.
	maxTies = 64
)
