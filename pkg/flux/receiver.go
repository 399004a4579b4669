package flux

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
)

// NotificationAPIVersion is the API version of Flux's Receiver.
const NotificationAPIVersion = "notification.toolkit.fluxcd.io/v1"

// Types of senders of webhooks.
const (
	GenericReceiver     = "generic"
	GenericHMACReceiver = "generic-hmac"
	GenericOIDCReceiver = "generic-oidc"
	GitHubReceiver      = "github"
	GitLabReceiver      = "gitlab"
	BitbucketReceiver   = "bitbucket"
	HarborReceiver      = "harbor"
	DockerHubReceiver   = "dockerhub"
	QuayReceiver        = "quay"
	GCRReceiver         = "gcr"
	NexusReceiver       = "nexus"
	ACRReceiver         = "acr"
	CDEventsReceiver    = "cdevents"
)

// ReceiverTypes are all of them.
var ReceiverTypes = []string{
	GenericReceiver, GenericHMACReceiver, GenericOIDCReceiver, GitHubReceiver, GitLabReceiver, BitbucketReceiver, HarborReceiver,
	DockerHubReceiver, QuayReceiver, GCRReceiver, NexusReceiver, ACRReceiver, CDEventsReceiver,
}

// eventfulReceivers are those whose senders name their events.
var eventfulReceivers = []string{GitHubReceiver, GitLabReceiver, BitbucketReceiver, CDEventsReceiver}

// Receiver is the spec of the kind of that name: what calls of a webhook make due at once.
type Receiver struct {
	Type string `json:"type"`
	// Interval is how long Flux may take to notice that the Secret changed. Here the path changes with the Secret, in the
	// same moment, whatever the interval.
	Interval *Duration `json:"interval,omitempty"`
	// Events that are heeded, in any case of letters; none: all.
	Events    []string           `json:"events,omitempty"`
	Resources []ReceiverResource `json:"resources"`
	// ResourceFilter is a CEL expression over res, an object's metadata, req, the body of the call, and for generic-oidc
	// claims, those of the token.
	ResourceFilter string         `json:"resourceFilter,omitempty"`
	SecretRef      *SecretRef     `json:"secretRef,omitempty"`
	OIDCProviders  []OIDCProvider `json:"oidcProviders,omitempty"`
	Suspend        bool           `json:"suspend,omitempty"`
}

// ReceiverResource names what a call makes due: one object, or with the name * those of a kind with all the labels.
type ReceiverResource struct {
	APIVersion  string            `json:"apiVersion,omitempty"`
	Kind        string            `json:"kind"`
	Name        string            `json:"name"`
	Namespace   string            `json:"namespace,omitempty"`
	MatchLabels map[string]string `json:"matchLabels,omitempty"`
	// Filter has to be true too, beside ResourceFilter.
	Filter string `json:"filter,omitempty"`
}

// OIDCProvider says whose tokens are good for a call, and which of them.
type OIDCProvider struct {
	IssuerURL string `json:"issuerURL"`
	Audience  string `json:"audience,omitempty"`
	// Variables are CEL expressions over claims and the vars before them, which they make vars.NAME of.
	Variables   []OIDCVariable   `json:"variables,omitempty"`
	Validations []OIDCValidation `json:"validations"`
}

// OIDCVariable is a named CEL expression.
type OIDCVariable struct {
	Name       string `json:"name"`
	Expression string `json:"expression"`
}

// OIDCValidation is a CEL expression over claims and vars that has to be true.
type OIDCValidation struct {
	Expression string `json:"expression"`
	Message    string `json:"message"`
}

// defaultOIDCAudience is Flux's, so that a sender set up for it is taken as it is.
const defaultOIDCAudience = "notification-controller"

// GetAudience is whom tokens of the issuer are to be for.
func (p OIDCProvider) GetAudience() string { return cmp.Or(p.Audience, defaultOIDCAudience) }

// GetInterval is 10 m unless set, as it is Flux's default.
func (r Receiver) GetInterval() time.Duration {
	if r.Interval == nil {
		return 10 * time.Minute
	}
	return r.Interval.Duration
}

// WebhookPrefix is what the paths of webhooks begin with.
const WebhookPrefix = "/hook/"

// WebhookAnnotation is where Flux's client notes the URL of a webhook on the Secret that it is made of. It is as secret as
// the Secret.
const WebhookAnnotation = "notification.toolkit.fluxcd.io/webhook"

// WebhookPath is the path at which the Receiver of that name takes calls: Flux's rule, so that a webhook that is
// registered somewhere outlives the move from Flux. It is as secret as the token.
func WebhookPath(token, name, namespace string) string {
	digest := sha256.Sum256([]byte(token + name + namespace))
	return WebhookPrefix + hex.EncodeToString(digest[:])
}

// NamespaceFor is the namespace that r means in a Receiver of a namespace.
func (r ReceiverResource) NamespaceFor(receiver string) string { return cmp.Or(r.Namespace, receiver) }

// receiverKinds are the kinds that may be made due, with their API versions.
var receiverKinds = map[string]string{
	"GitRepository": SourceAPIVersion, "OCIRepository": SourceAPIVersion, "Bucket": SourceAPIVersion, "HelmRepository": SourceAPIVersion,
	"HelmChart": SourceAPIVersion, "ExternalArtifact": SourceAPIVersion, KustomizationKind: KustomizeAPIVersion, HelmReleaseKind: HelmAPIVersion,
}

// laterKinds are kinds that Flux takes too.
var laterKinds = []string{"ImageRepository", "ImagePolicy", "ImageUpdateAutomation", "ArtifactGenerator"}

// Validate returns the FieldErrors of r, but for those of its CEL expressions: see expr.CheckReceiver.
func (r Receiver) Validate() error {
	var fields fleet.Fields
	fields.Require("spec.type", r.Type)
	oneOf(&fields, "spec.type", r.Type, ReceiverTypes...)
	positive(&fields, "spec.interval", r.Interval, optional)
	r.validateEvents(&fields)
	if len(r.Resources) == 0 {
		fields.Refuse("spec.resources", "is required: what a call makes due")
	}
	for i, resource := range r.Resources {
		resource.validate(&fields, fmt.Sprintf("spec.resources[%d]", i))
	}
	oidc := r.Type == GenericOIDCReceiver
	switch {
	case oidc && r.SecretRef != nil:
		fields.Refuse("spec.secretRef", "cannot be set for type generic-oidc: the caller's token says who it is")
	case !oidc && r.SecretRef == nil:
		fields.Refuse("spec.secretRef", "is required, unless the type is generic-oidc: a Secret with the key token")
	case !oidc:
		fields.Require("spec.secretRef.name", r.SecretRef.Name)
	}
	switch {
	case oidc && len(r.OIDCProviders) == 0:
		fields.Refuse("spec.oidcProviders", "is required for type generic-oidc")
	case !oidc && len(r.OIDCProviders) > 0:
		fields.Refuse("spec.oidcProviders", "can only be set for type generic-oidc")
	}
	issuers := map[string]bool{}
	for i, provider := range r.OIDCProviders {
		provider.validate(&fields, fmt.Sprintf("spec.oidcProviders[%d]", i))
		if issuers[provider.IssuerURL] {
			fields.Refuse(fmt.Sprintf("spec.oidcProviders[%d].issuerURL", i), "%q is given twice", provider.IssuerURL)
		}
		issuers[provider.IssuerURL] = true
	}
	return fields.Err()
}

// validateEvents refuses events of a type that has none: Flux passes over them, and whoever set them thinks that calls are
// sorted out.
func (r Receiver) validateEvents(fields *fleet.Fields) {
	if len(r.Events) > 0 && slices.Contains(ReceiverTypes, r.Type) && !slices.Contains(eventfulReceivers, r.Type) {
		fields.Refuse("spec.events", "calls of type %s name no event (those of %s do): leave it out, or use spec.resourceFilter", r.Type, strings.Join(eventfulReceivers, ", "))
	}
	for i, event := range r.Events {
		fields.Require(fmt.Sprintf("spec.events[%d]", i), event)
	}
}

func (r ReceiverResource) validate(fields *fleet.Fields, at string) {
	fields.Require(at+".kind", r.Kind)
	version, known := receiverKinds[r.Kind]
	switch {
	case r.Kind == "":
	case slices.Contains(laterKinds, r.Kind):
		fields.Refuse(at+".kind", "%q: not supported yet (the sources, Kustomization and HelmRelease are)", r.Kind)
	case !known:
		fields.Refuse(at+".kind", "%q is not a kind that can be made due: name a source, a Kustomization or a HelmRelease", r.Kind)
	case r.APIVersion != "" && r.APIVersion != version:
		fields.Refuse(at+".apiVersion", "%q is not %s, which kind %s is of", r.APIVersion, version, r.Kind)
	}
	fields.Require(at+".name", r.Name)
	switch {
	case r.Name == "*" && r.MatchLabels == nil:
		fields.Refuse(at+".matchLabels", "is required with the name *: labels that the objects have, or {} for all")
	case r.Name != "*" && len(r.MatchLabels) > 0:
		fields.Refuse(at+".matchLabels", "says nothing beside a name: for all with these labels the name is *")
	case r.Name != "" && r.Name != "*" && (len(r.Name) > maxName || !namePattern.MatchString(r.Name)):
		fields.Refuse(at+".name", "%q is neither a name nor *", r.Name)
	}
	if r.Namespace != "" && (len(r.Namespace) > maxNamespace || !namespacePattern.MatchString(r.Namespace)) {
		fields.Refuse(at+".namespace", "%q is not a DNS label", r.Namespace)
	}
}

func (p OIDCProvider) validate(fields *fleet.Fields, at string) {
	fields.Require(at+".issuerURL", p.IssuerURL)
	refuse(fields, at+".issuerURL", p.IssuerURL, issuerProblem)
	for i, v := range p.Variables {
		fields.Require(fmt.Sprintf("%s.variables[%d].name", at, i), v.Name)
		if v.Name != "" && !identifierPattern.MatchString(v.Name) {
			fields.Refuse(fmt.Sprintf("%s.variables[%d].name", at, i), "%q is not a name that expressions can use: letters, digits and _", v.Name)
		}
		fields.Require(fmt.Sprintf("%s.variables[%d].expression", at, i), v.Expression)
	}
	if len(p.Validations) == 0 {
		fields.Refuse(at+".validations", "is required: without one, whoever gets any token of the issuer may call")
	}
	for i, v := range p.Validations {
		fields.Require(fmt.Sprintf("%s.validations[%d].expression", at, i), v.Expression)
		fields.Require(fmt.Sprintf("%s.validations[%d].message", at, i), v.Message)
	}
}

var identifierPattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// issuerProblem says what is wrong with the URL of an issuer; empty: nothing.
func issuerProblem(issuer string) string {
	parsed, err := url.Parse(issuer)
	switch {
	case err != nil:
		return "is not a URL"
	case parsed.Scheme != "http" && parsed.Scheme != "https":
		return fmt.Sprintf("%q does not begin with http:// or https://", issuer)
	case parsed.Host == "":
		return "names no host"
	case parsed.User != nil:
		return "holds credentials, which an issuer has none of"
	case parsed.RawQuery != "" || parsed.Fragment != "":
		return "has a query or fragment, which an issuer cannot have (OpenID Connect Discovery 1.0)"
	}
	return ""
}
