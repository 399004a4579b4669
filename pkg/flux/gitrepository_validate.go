package flux

import (
	"cmp"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Validate returns the FieldErrors of g.
func (g GitRepository) Validate() error {
	var fields fleet.Fields
	fields.Require("spec.url", g.URL)
	refuse(&fields, "spec.url", g.URL, URLProblem)
	positive(&fields, "spec.interval", g.Interval, required)
	timeout(&fields, g.Timeout)
	for path, ref := range map[string]*SecretRef{"spec.secretRef.name": g.SecretRef, "spec.proxySecretRef.name": g.ProxySecretRef} {
		if ref != nil {
			fields.Require(path, ref.Name)
		}
	}
	g.validateProvider(&fields)
	if g.Ref != nil {
		g.Ref.validate(&fields)
	}
	g.validateVerify(&fields)
	g.validateInclude(&fields)
	for i, dir := range g.SparseCheckout {
		refuseDirectory(&fields, fmt.Sprintf("spec.sparseCheckout[%d]", i), dir)
		if dir == "" {
			fields.Refuse(fmt.Sprintf("spec.sparseCheckout[%d]", i), "is empty: write the path of a directory")
		}
	}
	return fields.Err()
}

func (g GitRepository) validateProvider(fields *fleet.Fields) {
	oneOf(fields, "spec.provider", g.Provider, "generic", "aws", "azure", "github")
	overHTTP := strings.HasPrefix(g.URL, "http://") || strings.HasPrefix(g.URL, "https://")
	switch {
	case g.Provider == "aws":
		fields.Refuse("spec.provider", "aws is not supported: the hub does not sign for CodeCommit; make HTTPS Git credentials in IAM, and give them as username and password in a Secret named by spec.secretRef")
	case g.Provider == "azure" && !strings.HasPrefix(g.URL, "https://"):
		fields.Refuse("spec.provider", "azure needs a spec.url that begins with https://")
	case g.Provider == "github" && !overHTTP:
		fields.Refuse("spec.provider", "github needs a spec.url that begins with https://")
	}
	switch {
	case g.ServiceAccountName == "":
	case g.Provider != "azure" && g.Provider != "aws":
		fields.Refuse("spec.serviceAccountName", "can only be set when spec.provider is azure or aws")
	default:
		fields.Refuse("spec.serviceAccountName", "is not supported: the hub uses its own identity at the cloud, where an administrator's Credential grants it; leave the field out")
	}
}

func (r GitReference) validate(fields *fleet.Fields) {
	refuse(fields, "spec.ref.commit", r.Commit, CommitProblem)
	refuse(fields, "spec.ref.branch", r.Branch, RefProblem)
	refuse(fields, "spec.ref.tag", r.Tag, RefProblem)
	refuse(fields, "spec.ref.name", r.Name, func(name string) string {
		if !strings.HasPrefix(name, "refs/") || RefProblem(name) != "" {
			return fmt.Sprintf("%q is not the whole name of a ref, such as refs/heads/main or refs/pull/1/head", name)
		}
		return ""
	})
	refuse(fields, "spec.ref.semver", r.SemVer, func(versions string) string {
		if _, err := semver.NewConstraint(versions); err != nil || len(versions) > 500 {
			return fmt.Sprintf("%q is not a range of versions, such as 1.x or >=1.2.0 <2.0.0", versions)
		}
		return ""
	})
}

func (g GitRepository) validateVerify(fields *fleet.Fields) {
	if g.Verify == nil {
		return
	}
	oneOf(fields, "spec.verify.mode", g.Verify.Mode, "HEAD", "head", "Tag", "TagAndHEAD")
	fields.Require("spec.verify.secretRef.name", g.Verify.SecretRef.Name)
	if g.Verify.VerifiesTag() && !g.Ref.followsTag() {
		fields.Refuse("spec.verify.mode", "%s needs a tag to verify: set spec.ref.tag or spec.ref.semver, and no spec.ref.commit", g.Verify.Mode)
	}
}

// GetMode is the mode, as Flux writes it: HEAD unless set.
func (v GitVerify) GetMode() string {
	if v.Mode == "" || v.Mode == "head" {
		return "HEAD"
	}
	return v.Mode
}

// VerifiesTag reports whether the tag's signature is asked for.
func (v GitVerify) VerifiesTag() bool { return v.Mode == "Tag" || v.Mode == "TagAndHEAD" }

// VerifiesHEAD reports whether the commit's signature is asked for.
func (v GitVerify) VerifiesHEAD() bool { return v.Mode != "Tag" }

// followsTag reports whether a tag is checked out.
func (r *GitReference) followsTag() bool {
	switch {
	case r == nil || r.Commit != "":
		return false
	case r.Name != "":
		return strings.HasPrefix(r.Name, "refs/tags/")
	}
	return r.SemVer != "" || r.Tag != ""
}

func (g GitRepository) validateInclude(fields *fleet.Fields) {
	for i, include := range g.Include {
		at := fmt.Sprintf("spec.include[%d]", i)
		fields.Require(at+".repository.name", include.Repository.Name)
		refuseDirectory(fields, at+".fromPath", include.FromPath)
		refuseDirectory(fields, at+".toPath", include.ToPath)
		if include.Repository.Name == "" {
			continue
		}
		if slices.ContainsFunc(g.Include[:i], func(other GitInclude) bool { return other.Target() == include.Target() }) {
			fields.Refuse(at+".toPath", "%q is the path of another include as well", include.Target())
		}
	}
	if len(g.Include) > MaxIncludes {
		fields.Refuse("spec.include", "has %d entries; %d are allowed", len(g.Include), MaxIncludes)
	}
}

// MaxIncludes is how many GitRepositories one may include.
const MaxIncludes = 100

// Target is where the included files go: toPath, or the repository's name.
func (i GitInclude) Target() string {
	if i.ToPath == "" {
		return i.Repository.Name
	}
	return cleanDirectory(i.ToPath)
}

// Origin is the directory whose files are included, "." being all of them.
func (i GitInclude) Origin() string { return cleanDirectory(i.FromPath) }

// Directories are the sparse checkout's, cleaned.
func (g GitRepository) Directories() []string {
	directories := make([]string, len(g.SparseCheckout))
	for i, dir := range g.SparseCheckout {
		directories[i] = cleanDirectory(dir)
	}
	return directories
}

// cleanDirectory is the path below the root of a repository, as validation has let it pass.
func cleanDirectory(dir string) string {
	return cmp.Or(strings.TrimPrefix(path.Clean("/"+dir), "/"), ".")
}

// refuseDirectory refuses a path that leads out of the repository, and one that no Tree can have.
func refuseDirectory(fields *fleet.Fields, at, dir string) {
	switch {
	case slices.Contains(strings.Split(dir, "/"), ".."):
		fields.Refuse(at, "%q leads out of the repository: it may have no part that is \"..\"", dir)
	case strings.ContainsAny(dir, "\\\x00\n\r") || len(dir) > 1000:
		fields.Refuse(at, "%q is not the path of a directory: separate its parts by slashes", dir)
	}
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
	case parsed.Scheme != "http" && parsed.Scheme != "https" && parsed.Scheme != "ssh":
		return fmt.Sprintf("scheme %q is not http, https or ssh (git@host:path is written as ssh://git@host/path)", parsed.Scheme)
	case parsed.Hostname() == "":
		return "names no host"
	case parsed.User != nil && !onlyUser(parsed):
		return "holds credentials: give them in a Secret named by spec.secretRef"
	case parsed.RawQuery != "" || parsed.ForceQuery || parsed.Fragment != "":
		return "has a query or fragment, which the address of a repository cannot have"
	case parsed.Scheme == "ssh" && strings.Trim(parsed.Path, "/") == "":
		return "names no repository"
	case strings.ContainsFunc(parsed.Path, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "has a control character"
	}
	return ""
}

// sshUser is a name at an SSH server: none that is an option.
var sshUser = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._@-]{0,63}$`)

// onlyUser reports whether the URL has a user of SSH and no password.
func onlyUser(parsed *url.URL) bool {
	_, password := parsed.User.Password()
	return parsed.Scheme == "ssh" && !password && sshUser.MatchString(parsed.User.Username())
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
		return "a commit hash of 64 hex digits is not supported: of repositories in Git's SHA-256 format nothing can be fetched (40 digits are SHA-1)"
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
