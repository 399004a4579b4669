package fleet

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Credential is the spec of the fleet kind of that name: what Sources of some namespaces, whose URL begins with a prefix,
// are fetched with where they name nothing of their own. It is the administrator's.
type Credential struct {
	// URLPrefix is scheme, host, port and the first segments of a path: https://git.example.com/acme is one of
	// https://git.example.com/acme/app and not of https://git.example.com/acme-other.
	URLPrefix string `json:"urlPrefix"`
	// Namespaces whose Sources may use it; "*" is all of them.
	Namespaces []string `json:"namespaces"`
	// SecretRef, CertSecretRef and ProxySecretRef name Secrets as the fields of these names of a Source do.
	SecretRef      *NamespacedRef `json:"secretRef,omitempty"`
	CertSecretRef  *NamespacedRef `json:"certSecretRef,omitempty"`
	ProxySecretRef *NamespacedRef `json:"proxySecretRef,omitempty"`
	// Provider lets Sources with that provider use the hub's own identity at a cloud: aws, azure or gcp; generic, the
	// default, is none.
	Provider string `json:"provider,omitempty"`
}

// NamespacedRef names an object of a namespace.
type NamespacedRef struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// String is "namespace/name".
func (r NamespacedRef) String() string { return r.Namespace + "/" + r.Name }

// EveryNamespace stands for all of them in a Credential.
const EveryNamespace = "*"

// GenericProvider is no identity at a cloud.
const GenericProvider = "generic"

// Validate returns the FieldErrors of c.
func (c Credential) Validate() error {
	var fields Fields
	fields.Require("spec.urlPrefix", c.URLPrefix)
	if _, problem := parsePlace(c.URLPrefix); c.URLPrefix != "" && problem != "" {
		fields.Refuse("spec.urlPrefix", "%s", problem)
	}
	if len(c.Namespaces) == 0 {
		fields.Refuse("spec.namespaces", "is required: names, or %q for all of them", EveryNamespace)
	}
	for i, namespace := range c.Namespaces {
		if strings.Contains(namespace, EveryNamespace) && namespace != EveryNamespace || namespace == "" {
			fields.Refuse(fmt.Sprintf("spec.namespaces[%d]", i), "%q is neither the name of a namespace nor %q", namespace, EveryNamespace)
		}
	}
	for _, ref := range []struct {
		field string
		*NamespacedRef
	}{{"secretRef", c.SecretRef}, {"certSecretRef", c.CertSecretRef}, {"proxySecretRef", c.ProxySecretRef}} {
		if ref.NamespacedRef != nil {
			fields.Require("spec."+ref.field+".namespace", ref.Namespace)
			fields.Require("spec."+ref.field+".name", ref.Name)
		}
	}
	switch {
	case c.Provider == "github":
		fields.Refuse("spec.provider", "github has no identity of the hub's: name a Secret with the keys of a GitHub App in spec.secretRef")
	case !slices.Contains([]string{"", GenericProvider, "aws", "azure", "gcp"}, c.Provider):
		fields.Refuse("spec.provider", "%q is not generic, aws, azure or gcp", c.Provider)
	}
	if c.SecretRef == nil && c.CertSecretRef == nil && c.ProxySecretRef == nil && (c.Provider == "" || c.Provider == GenericProvider) {
		fields.Refuse("spec", "it gives nothing: set secretRef, certSecretRef, proxySecretRef or provider")
	}
	return fields.Err()
}

// Grants says how much of an address the prefix is, in segments and the host, where a Source of the namespace at the
// address may use c; zero: it may not.
func (c Credential) Grants(namespace, address string) (length int) {
	if !slices.Contains(c.Namespaces, EveryNamespace) && !slices.Contains(c.Namespaces, namespace) {
		return 0
	}
	return below(c.URLPrefix, address)
}

// IsWithin reports whether an address is one that a Credential of the URL prefix may be sent to.
func IsWithin(urlPrefix, address string) bool { return below(urlPrefix, address) > 0 }

// below says how much of an address a prefix is, in segments and the host; zero: it is none.
func below(urlPrefix, address string) (length int) {
	prefix, problem := parsePlace(urlPrefix)
	if problem != "" {
		return 0
	}
	at, problem := parsePlace(address)
	if problem != "" || prefix.scheme != at.scheme || prefix.host != at.host || prefix.port != at.port ||
		len(prefix.segments) > len(at.segments) || !slices.Equal(prefix.segments, at.segments[:len(prefix.segments)]) {
		return 0
	}
	return 1 + len(prefix.segments)
}

// place is a URL in the one form in which two of them are compared.
type place struct {
	scheme, host, port string
	segments           []string
}

// defaultPorts of the schemes that places have.
var defaultPorts = map[string]string{"http": "80", "https": "443", "ssh": "22", "oci": "443"}

// parsePlace reads a URL. What servers and proxies read in several ways is a problem: whoever could choose among those
// ways could make a credential go elsewhere.
func parsePlace(address string) (p place, problem string) {
	u, err := url.Parse(address)
	if err != nil || strings.ContainsFunc(address, func(r rune) bool { return r <= ' ' || r > '~' || r == '\\' }) {
		return p, "is not a URL"
	}
	p.scheme, p.host, p.port = strings.ToLower(u.Scheme), strings.ToLower(u.Hostname()), u.Port()
	if p.port == "" {
		p.port = defaultPorts[p.scheme]
	}
	switch {
	case defaultPorts[p.scheme] == "":
		return p, "has no scheme http, https, ssh or oci"
	case p.host == "" || strings.HasSuffix(p.host, ".") || strings.ContainsAny(p.host, "%@/?#*") || strings.HasSuffix(u.Host, ":"):
		return p, "names no host"
	case u.User != nil && (p.scheme != "ssh" || hasPassword(u.User)):
		return p, "holds credentials"
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(address, "#"):
		return p, "has a query or fragment"
	}
	path := strings.TrimSuffix(strings.TrimPrefix(u.EscapedPath(), "/"), "/")
	if path == "" {
		return p, ""
	}
	for segment := range strings.SplitSeq(path, "/") {
		decoded, err := url.PathUnescape(segment)
		if err != nil || decoded == "" || decoded == "." || decoded == ".." || strings.ContainsAny(decoded, "/\\%;") ||
			strings.ContainsFunc(decoded, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return p, "has a path with an empty segment, dots, or what is read in several ways"
		}
		p.segments = append(p.segments, decoded)
	}
	return p, ""
}

func hasPassword(user *url.Userinfo) bool {
	_, has := user.Password()
	return has
}
