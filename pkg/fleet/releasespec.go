package fleet

// ReleaseSpec is what an App's spec says of how its objects are applied, by Flux's names (Kustomization v1). It is part
// of the Release: a change of it is rolled out.
type ReleaseSpec struct {
	// Wait makes Ready wait for the health of all objects; HealthChecks are ignored then.
	Wait bool `json:"wait,omitempty"`
	// Force recreates objects whose immutable fields change.
	Force bool `json:"force,omitempty"`
	// ServiceAccountName is impersonated for all that is done to the objects.
	ServiceAccountName string `json:"serviceAccountName,omitempty"`
	// CommonMetadata is set on every object, in place of what the object says.
	CommonMetadata *CommonMetadata `json:"commonMetadata,omitempty"`
	// HealthChecks are objects that Ready waits for.
	HealthChecks []ObjectReference `json:"healthChecks,omitempty"`
	// HealthCheckExprs say of kinds how to tell their health.
	HealthCheckExprs []HealthCheckExpr `json:"healthCheckExprs,omitempty"`
	PostBuild        *PostBuild        `json:"postBuild,omitempty"`
	Decryption       *Decryption       `json:"decryption,omitempty"`
	// Ignore are fields that are left to others.
	Ignore []IgnoreRule `json:"ignore,omitempty"`
}

// CommonMetadata are labels and annotations for all objects of an App.
type CommonMetadata struct {
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// ObjectReference names an object of a cluster. An empty APIVersion is apps/v1, an empty Namespace the App's.
type ObjectReference struct {
	APIVersion string `json:"apiVersion,omitempty"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	Namespace  string `json:"namespace,omitempty"`
}

// HealthCheckExpr has CEL expressions that tell the health of a kind's objects, tried in the order inProgress, failed,
// current. The version in APIVersion does not count. An empty Kind is all kinds of the group.
type HealthCheckExpr struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind,omitempty"`
	Current    string `json:"current"`
	InProgress string `json:"inProgress,omitempty"`
	Failed     string `json:"failed,omitempty"`
}

// PostBuild has variables substituted in the objects, in the cluster.
type PostBuild struct {
	// SubstituteStrategy: WithVariables (default) substitutes when there is a variable at all, Always in any case.
	SubstituteStrategy string `json:"substituteStrategy,omitempty"`
	// Substitute has variables by name. They take precedence over SubstituteFrom, of which a later one does over an
	// earlier one.
	Substitute     map[string]string     `json:"substitute,omitempty"`
	SubstituteFrom []SubstituteReference `json:"substituteFrom,omitempty"`
}

// The values of PostBuild.SubstituteStrategy; empty is SubstituteWithVariables.
const (
	SubstituteWithVariables = "WithVariables"
	SubstituteAlways        = "Always"
)

// SubstituteReference names a ConfigMap or Secret of the App's namespace, in the cluster, whose data are variables.
type SubstituteReference struct {
	Kind     string `json:"kind"`
	Name     string `json:"name"`
	Optional bool   `json:"optional,omitempty"`
}

// Decryption says how what is encrypted becomes plain, in the cluster.
type Decryption struct {
	// Provider is "sops".
	Provider string `json:"provider"`
	// SecretRef names a Secret of the App's namespace, in the cluster, that holds the keys.
	SecretRef *LocalReference `json:"secretRef,omitempty"`
	// ServiceAccountName is who asks a cloud's key service.
	ServiceAccountName string `json:"serviceAccountName,omitempty"`
}

// LocalReference names an object of the same namespace.
type LocalReference struct {
	Name string `json:"name"`
}

// IgnoreRule leaves fields, as JSON pointers (RFC 6901), of the chosen objects to others; no Target: of all.
type IgnoreRule struct {
	Paths  []string     `json:"paths"`
	Target *PatchTarget `json:"target,omitempty"`
}
