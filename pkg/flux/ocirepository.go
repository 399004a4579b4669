package flux

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"

	"flotilla.dev/flotilla/pkg/fleet"
)

// OCIRepository is the spec of the source kind of that name (Flux source.toolkit.fluxcd.io/v1).
type OCIRepository struct {
	// URL is oci://host/path, without a tag.
	URL                string         `json:"url"`
	Interval           *Duration      `json:"interval"`
	Timeout            *Duration      `json:"timeout,omitempty"`
	Ref                *OCIReference  `json:"ref,omitempty"`
	LayerSelector      *LayerSelector `json:"layerSelector,omitempty"`
	Provider           string         `json:"provider,omitempty"`
	SecretRef          *SecretRef     `json:"secretRef,omitempty"`
	ServiceAccountName string         `json:"serviceAccountName,omitempty"`
	CertSecretRef      *SecretRef     `json:"certSecretRef,omitempty"`
	ProxySecretRef     *SecretRef     `json:"proxySecretRef,omitempty"`
	Insecure           bool           `json:"insecure,omitempty"`
	Verify             *OCIVerify     `json:"verify,omitempty"`
	Ignore             *string        `json:"ignore,omitempty"`
	Suspend            bool           `json:"suspend,omitempty"`
}

// OCIReference says what to pull: digest before semver before tag; none of them is tag latest.
type OCIReference struct {
	Digest string `json:"digest,omitempty"`
	SemVer string `json:"semver,omitempty"`
	// SemVerFilter is a regular expression that tags must match before semver chooses among them.
	SemVerFilter string `json:"semverFilter,omitempty"`
	Tag          string `json:"tag,omitempty"`
}

// LayerSelector says which layer is the artifact, and whether it is extracted (the default) or copied as it is.
type LayerSelector struct {
	MediaType string `json:"mediaType,omitempty"`
	Operation string `json:"operation,omitempty"`
}

// OCIVerify says whose signature an artifact must have.
type OCIVerify struct {
	// Provider is cosign, the default, or notation.
	Provider string `json:"provider"`
	// SecretRef names the Secret with public keys (cosign: *.pub; notation: trustpolicy.json and certificates). Without
	// it, cosign verifies keyless.
	SecretRef            *SecretRef     `json:"secretRef,omitempty"`
	MatchOIDCIdentity    []OIDCIdentity `json:"matchOIDCIdentity,omitempty"`
	TrustedRootSecretRef *SecretRef     `json:"trustedRootSecretRef,omitempty"`
}

// OIDCIdentity is who may have signed, two regular expressions.
type OIDCIdentity struct {
	Issuer  string `json:"issuer"`
	Subject string `json:"subject"`
}

// GetTimeout is the time one conversation with the registry may take: 60 s unless set.
func (o OCIRepository) GetTimeout() time.Duration { return timeoutOr60s(o.Timeout) }

// The operations of a LayerSelector.
const (
	ExtractLayer = "extract"
	CopyLayer    = "copy"
)

// ChartLayer is the media type of a layer that is a Helm chart. Tags of such artifacts have _ where versions have +.
const ChartLayer = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"

// The providers of signatures.
const (
	Cosign   = "cosign"
	Notation = "notation"
)

// DefaultTag is what is pulled when nothing says what.
const DefaultTag = "latest"

// Validate returns the FieldErrors of o.
func (o OCIRepository) Validate() error {
	var fields fleet.Fields
	fields.Require("spec.url", o.URL)
	refuse(&fields, "spec.url", o.URL, OCIURLProblem)
	positive(&fields, "spec.interval", o.Interval, required)
	timeout(&fields, o.Timeout)
	oneOf(&fields, "spec.provider", o.Provider, "generic", "aws", "azure", "gcp")
	named(&fields, "spec.secretRef", o.SecretRef)
	named(&fields, "spec.certSecretRef", o.CertSecretRef)
	named(&fields, "spec.proxySecretRef", o.ProxySecretRef)
	refuse(&fields, "spec.serviceAccountName", o.ServiceAccountName, serviceAccountProblem)
	if o.Ref != nil {
		o.Ref.validate(&fields)
	}
	if o.LayerSelector != nil {
		oneOf(&fields, "spec.layerSelector.operation", o.LayerSelector.Operation, ExtractLayer, CopyLayer)
	}
	if o.Verify != nil {
		o.Verify.Validate(&fields, "spec.verify")
	}
	return fields.Err()
}

var (
	tagPattern        = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`) // OCI distribution
	repositoryPattern = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	digestPattern     = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

// validate checks what is given, also where something else goes before it: one that is wrong is meant for something.
func (r OCIReference) validate(fields *fleet.Fields) {
	if r.Digest != "" && !digestPattern.MatchString(r.Digest) {
		fields.Refuse("spec.ref.digest", "%q is not sha256: and 64 hex digits", r.Digest)
	}
	if r.SemVer != "" {
		if _, err := semver.NewConstraint(r.SemVer); err != nil {
			fields.Refuse("spec.ref.semver", "%q is not a range of versions such as 1.x or >=1.2.0 <2.0.0", r.SemVer)
		}
	}
	pattern(fields, "spec.ref.semverFilter", r.SemVerFilter)
	if r.Tag != "" && !tagPattern.MatchString(r.Tag) {
		fields.Refuse("spec.ref.tag", "%q is not a tag: letters, digits and . _ -, at most 128", r.Tag)
	}
}

// Validate records what is wrong with v, which stands at path.
func (v OCIVerify) Validate(fields *fleet.Fields, path string) {
	oneOf(fields, path+".provider", v.Provider, Cosign, Notation)
	named(fields, path+".secretRef", v.SecretRef)
	named(fields, path+".trustedRootSecretRef", v.TrustedRootSecretRef)
	for i, identity := range v.MatchOIDCIdentity {
		at := fmt.Sprintf("%s.matchOIDCIdentity[%d]", path, i)
		fields.Require(at+".issuer", identity.Issuer)
		fields.Require(at+".subject", identity.Subject)
		pattern(fields, at+".issuer", identity.Issuer)
		pattern(fields, at+".subject", identity.Subject)
	}
	// Flux passes over what follows; who restricted a signature's identity would think that it is restricted.
	keyless := "keyless signatures have it, and with secretRef the keys decide: remove one of the two"
	if v.Provider == Notation {
		keyless = "signatures of notation have no such thing; their trust policy says whose are good"
		if v.SecretRef == nil {
			fields.Refuse(path+".secretRef", "is required: notation needs trustpolicy.json and certificates")
		}
	}
	if len(v.MatchOIDCIdentity) > 0 && v.SecretRef != nil {
		fields.Refuse(path+".matchOIDCIdentity", "%s", keyless)
	}
	if v.TrustedRootSecretRef != nil && v.SecretRef != nil {
		fields.Refuse(path+".trustedRootSecretRef", "%s", keyless)
	}
}

// OCIURLProblem says what is wrong with the address of a repository in a registry; empty: nothing.
func OCIURLProblem(address string) string {
	rest, found := strings.CutPrefix(address, "oci://")
	if !found {
		return notOCI(address)
	}
	parsed, err := url.Parse("https://" + rest)
	switch {
	case err != nil:
		return "is not a URL"
	case parsed.User != nil:
		return "holds credentials: give them in a Secret named by spec.secretRef"
	case parsed.Host == "" || strings.Trim(parsed.Path, "/") == "":
		return "names no host or no path"
	case parsed.RawQuery != "" || parsed.Fragment != "" || strings.Contains(parsed.Path, "@"):
		return "has a query, fragment or digest: what to pull is spec.ref's to say"
	case strings.Contains(parsed.Path, ":"):
		return fmt.Sprintf("has a tag: what to pull is spec.ref's to say, for example tag: %s", parsed.Path[strings.LastIndex(parsed.Path, ":")+1:])
	case !repositoryPattern.MatchString(strings.TrimPrefix(parsed.Path, "/")) || parsed.RawPath != "":
		return fmt.Sprintf("%q is not the name of a repository: lower-case letters and digits, with . _ - and / between them", strings.TrimPrefix(parsed.Path, "/"))
	}
	return ""
}

func notOCI(address string) string {
	if strings.ContainsAny(address, "@?#") { // what is before or behind them may be secret
		return "is not oci://host/path"
	}
	return fmt.Sprintf("%q is not oci://host/path", address)
}
