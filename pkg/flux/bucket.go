package flux

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
)

// The providers of buckets, and of temporary credentials for them.
const (
	BucketGeneric = "generic"
	BucketAWS     = "aws"
	BucketGCP     = "gcp"
	BucketAzure   = "azure"

	STSAWS  = "aws"
	STSLDAP = "ldap"
)

// Bucket is the spec of the source kind of that name (Flux source.toolkit.fluxcd.io/v1).
type Bucket struct {
	// Provider is generic (S3-compatible, the default), aws, gcp or azure.
	Provider   string `json:"provider,omitempty"`
	BucketName string `json:"bucketName"`
	// Endpoint is host or host:port; for azure, the URL of the storage account.
	Endpoint string     `json:"endpoint"`
	STS      *BucketSTS `json:"sts,omitempty"`
	// Insecure is HTTP in place of HTTPS.
	Insecure bool `json:"insecure,omitempty"`
	// Region is for generic and aws; others have no use for it.
	Region string `json:"region,omitempty"`
	// Prefix of the keys that count.
	Prefix             string     `json:"prefix,omitempty"`
	SecretRef          *SecretRef `json:"secretRef,omitempty"`
	ServiceAccountName string     `json:"serviceAccountName,omitempty"`
	CertSecretRef      *SecretRef `json:"certSecretRef,omitempty"`
	ProxySecretRef     *SecretRef `json:"proxySecretRef,omitempty"`
	Interval           *Duration  `json:"interval"`
	Timeout            *Duration  `json:"timeout,omitempty"`
	// Ignore holds patterns of .gitignore; they come after those of the bucket's .sourceignore object.
	Ignore  *string `json:"ignore,omitempty"`
	Suspend bool    `json:"suspend,omitempty"`
}

// BucketSTS says where credentials for a bucket are had for others.
type BucketSTS struct {
	// Provider is aws or ldap.
	Provider      string     `json:"provider"`
	Endpoint      string     `json:"endpoint"`
	SecretRef     *SecretRef `json:"secretRef,omitempty"`
	CertSecretRef *SecretRef `json:"certSecretRef,omitempty"`
}

// GetTimeout is the time one conversation with the object storage may take: 60 s unless set.
func (b Bucket) GetTimeout() time.Duration { return timeoutOr60s(b.Timeout) }

// GetProvider is the Provider, or generic.
func (b Bucket) GetProvider() string { return cmp.Or(b.Provider, BucketGeneric) }

// URL is where the bucket is: for errors, for the limits of hosts, and for the prefixes of credentials.
func (b Bucket) URL() string {
	endpoint := strings.TrimSuffix(b.Endpoint, "/")
	switch {
	case strings.Contains(endpoint, "://"):
	case b.Insecure:
		endpoint = "http://" + endpoint
	default:
		endpoint = "https://" + endpoint
	}
	if parsed, err := url.Parse(endpoint); err == nil {
		parsed.RawQuery, parsed.User = "", nil // of azure, where a token may stand in it
		endpoint = strings.TrimSuffix(parsed.String(), "/")
	}
	return endpoint + "/" + b.BucketName
}

// Validate returns the FieldErrors of b.
func (b Bucket) Validate() error {
	var fields fleet.Fields
	oneOf(&fields, "spec.provider", b.Provider, BucketGeneric, BucketAWS, BucketGCP, BucketAzure)
	fields.Require("spec.bucketName", b.BucketName)
	refuse(&fields, "spec.bucketName", b.BucketName, bucketNameProblem)
	fields.Require("spec.endpoint", b.Endpoint)
	if b.Provider == BucketAzure {
		refuse(&fields, "spec.endpoint", b.Endpoint, accountProblem)
	} else {
		refuse(&fields, "spec.endpoint", b.Endpoint, endpointProblem)
	}
	for _, ref := range []struct {
		at  string
		ref *SecretRef
	}{{"spec.secretRef", b.SecretRef}, {"spec.certSecretRef", b.CertSecretRef}, {"spec.proxySecretRef", b.ProxySecretRef}} {
		if ref.ref != nil {
			fields.Require(ref.at+".name", ref.ref.Name)
		}
	}
	b.validateSTS(&fields)
	b.validateIdentity(&fields)
	positive(&fields, "spec.interval", b.Interval, required)
	timeout(&fields, b.Timeout)
	return fields.Err()
}

// validateSTS has five of Flux's rules for the kind.
func (b Bucket) validateSTS(fields *fleet.Fields) {
	sts := b.STS
	if sts == nil {
		return
	}
	fields.Require("spec.sts.provider", sts.Provider)
	oneOf(fields, "spec.sts.provider", sts.Provider, STSAWS, STSLDAP)
	fields.Require("spec.sts.endpoint", sts.Endpoint)
	refuse(fields, "spec.sts.endpoint", sts.Endpoint, stsProblem)
	switch provider := b.GetProvider(); {
	case provider != BucketGeneric && provider != BucketAWS:
		fields.Refuse("spec.sts", "temporary credentials are for the providers aws and generic only")
	case provider == BucketAWS && sts.Provider != STSAWS:
		fields.Refuse("spec.sts.provider", "is aws where spec.provider is aws")
	case provider == BucketGeneric && sts.Provider != STSLDAP:
		fields.Refuse("spec.sts.provider", "is ldap where spec.provider is generic")
	}
	for _, ref := range []struct {
		at  string
		ref *SecretRef
	}{{"spec.sts.secretRef", sts.SecretRef}, {"spec.sts.certSecretRef", sts.CertSecretRef}} {
		switch {
		case ref.ref == nil:
		case sts.Provider == STSAWS:
			fields.Refuse(ref.at, "is not for the STS provider aws")
		default:
			fields.Require(ref.at+".name", ref.ref.Name)
		}
	}
}

// validateIdentity has the other two, and what the hub has no way to do.
func (b Bucket) validateIdentity(fields *fleet.Fields) {
	switch {
	case b.ServiceAccountName == "":
	case b.GetProvider() == BucketGeneric:
		fields.Refuse("spec.serviceAccountName", "is not for the provider generic")
	case b.SecretRef != nil:
		fields.Refuse("spec.serviceAccountName", "is instead of spec.secretRef: give one of them")
	default:
		// Flux refuses it too, unless its controller is told to let sources have identities of their own.
		fields.Refuse("spec.serviceAccountName", "identities of ServiceAccounts at a cloud are not supported: name a Secret in spec.secretRef, or have an administrator grant the hub's identity to this namespace (a Credential)")
	}
}

// bucketNameProblem refuses what no storage has as a name, and what would be more than one part of a URL's path.
func bucketNameProblem(name string) string {
	plain := func(r rune) bool {
		return r == '.' || r == '-' || r == '_' || r == '$' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
	}
	if len(name) > 222 || strings.ContainsFunc(name, func(r rune) bool { return !plain(r) }) || strings.HasPrefix(name, ".") {
		return fmt.Sprintf("%q is not the name of a bucket (letters, digits and . - _)", name)
	}
	return ""
}

// endpointProblem says what is wrong with host or host:port.
func endpointProblem(endpoint string) string {
	if scheme, _, found := strings.Cut(endpoint, "://"); found {
		return fmt.Sprintf("is host or host:port, without %s:// (spec.insecure: true is http)", scheme)
	}
	parsed, err := url.Parse("https://" + endpoint)
	switch {
	case err != nil:
		return "is not host or host:port"
	case parsed.User != nil:
		return "holds credentials: give them in a Secret named by spec.secretRef"
	case parsed.Hostname() == "" || (parsed.Path != "" && parsed.Path != "/") || parsed.RawQuery != "" || parsed.Fragment != "":
		return "is not host or host:port"
	}
	return portProblem(parsed.Host)
}

// accountProblem says what is wrong with the URL of a storage account. It may have a query, as in Flux, but the signature
// of a token is refused there: a spec is shown to whoever may read it.
func accountProblem(endpoint string) string {
	parsed, err := url.Parse(endpoint)
	switch {
	case err != nil, parsed.Scheme != "https" && parsed.Scheme != "http", parsed.Host == "":
		return "is not the URL of a storage account, such as https://ACCOUNT.blob.core.windows.net"
	case parsed.User != nil:
		return "holds credentials: give them in a Secret named by spec.secretRef"
	case parsed.Fragment != "":
		return "has a fragment"
	}
	query, err := url.ParseQuery(parsed.RawQuery)
	if err != nil {
		return "has a malformed query"
	}
	for key := range query {
		if strings.EqualFold(key, "sig") {
			return "holds a shared access signature (sig): give the whole query as sasKey in a Secret named by spec.secretRef"
		}
	}
	return portProblem(parsed.Host)
}

func stsProblem(endpoint string) string {
	parsed, err := url.Parse(endpoint)
	switch {
	case err != nil, parsed.Scheme != "https" && parsed.Scheme != "http", parsed.Host == "":
		return "is not an http:// or https:// URL"
	case parsed.User != nil:
		return "holds credentials: give them in a Secret named by spec.sts.secretRef"
	}
	return portProblem(parsed.Host)
}

func portProblem(host string) string {
	if !strings.Contains(strings.TrimPrefix(host, "["), "]") && strings.Count(host, ":") == 0 {
		return ""
	}
	if strings.HasSuffix(host, "]") {
		return ""
	}
	if _, port, err := net.SplitHostPort(host); err != nil || port == "" {
		return "has an unclear port"
	}
	return ""
}
