package flux

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
)

// HelmRepository is the spec of the source kind of that name (Flux source.toolkit.fluxcd.io/v1).
type HelmRepository struct {
	// URL is of HTTP or HTTPS, and holds an index.yaml; or oci://host/path, below which charts are.
	URL           string     `json:"url"`
	SecretRef     *SecretRef `json:"secretRef,omitempty"`
	CertSecretRef *SecretRef `json:"certSecretRef,omitempty"`
	// PassCredentials sends the credential also to another host that charts are at.
	PassCredentials bool      `json:"passCredentials,omitempty"`
	Interval        *Duration `json:"interval,omitempty"`
	// Insecure is for a registry that speaks HTTP; with another type it says nothing, as in Flux.
	Insecure bool      `json:"insecure,omitempty"`
	Timeout  *Duration `json:"timeout,omitempty"`
	Suspend  bool      `json:"suspend,omitempty"`
	// AccessFrom is taken and says nothing, as in Flux.
	AccessFrom *AccessFrom `json:"accessFrom,omitempty"`
	// Type is default, or oci: then it is only where charts are, and nothing is fetched of it.
	Type string `json:"type,omitempty"`
	// Provider is for a registry; with another type it says nothing, as in Flux.
	Provider string `json:"provider,omitempty"`
}

// AccessFrom says which namespaces may refer to a source. Flux declares it and does not act on it.
type AccessFrom struct {
	NamespaceSelectors []NamespaceSelector `json:"namespaceSelectors"`
}

// NamespaceSelector selects namespaces by label.
type NamespaceSelector struct {
	MatchLabels map[string]string `json:"matchLabels,omitempty"`
}

// Types of a HelmRepository.
const (
	HelmRepositoryDefault = "default"
	HelmRepositoryOCI     = "oci"
)

// GetInterval is the time between two looks at the index: 1 m unless set, as it is Flux's default.
func (h HelmRepository) GetInterval() time.Duration {
	if h.Interval == nil {
		return time.Minute
	}
	return h.Interval.Duration
}

// GetTimeout is the time one conversation with the repository may take: 60 s unless set.
func (h HelmRepository) GetTimeout() time.Duration { return timeoutOr60s(h.Timeout) }

// Validate returns the FieldErrors of h.
func (h HelmRepository) Validate() error {
	var fields fleet.Fields
	fields.Require("spec.url", h.URL)
	oneOf(&fields, "spec.type", h.Type, HelmRepositoryDefault, HelmRepositoryOCI)
	if h.Type == HelmRepositoryOCI {
		refuse(&fields, "spec.url", h.URL, registryProblem)
	} else {
		refuse(&fields, "spec.url", h.URL, indexURLProblem)
	}
	oneOf(&fields, "spec.provider", h.Provider, "generic", "aws", "azure", "gcp")
	positive(&fields, "spec.interval", h.Interval, optional)
	timeout(&fields, h.Timeout)
	named(&fields, "spec.secretRef", h.SecretRef)
	named(&fields, "spec.certSecretRef", h.CertSecretRef)
	if h.AccessFrom != nil && h.AccessFrom.NamespaceSelectors == nil {
		fields.Require("spec.accessFrom.namespaceSelectors", "")
	}
	return fields.Err()
}

// registryProblem says what is wrong with the address below which charts are in a registry; empty: nothing. Unlike a
// repository's it may be a host alone.
func registryProblem(address string) string {
	if !strings.HasPrefix(address, "oci://") {
		return notOCI(address)
	}
	return OCIURLProblem(strings.TrimRight(address, "/") + "/chart")
}

// indexURLProblem says what is wrong with the address of a Helm repository over HTTP, without what may be secret in it;
// empty: nothing. It may have a query: some storages want one that lets in, and charts are asked for with the same.
func indexURLProblem(address string) string {
	parsed, err := url.Parse(address)
	switch {
	case err != nil:
		return "is not a URL"
	case parsed.Scheme == "oci":
		return "is of a registry, which needs spec.type: oci"
	case parsed.Scheme != "http" && parsed.Scheme != "https":
		return fmt.Sprintf("scheme %q is not http, https or oci", parsed.Scheme)
	case parsed.Host == "":
		return "names no host"
	case parsed.User != nil:
		return "holds credentials: give them in a Secret named by spec.secretRef"
	case parsed.Fragment != "":
		return "has a fragment, which the address of a repository cannot have"
	}
	return ""
}
