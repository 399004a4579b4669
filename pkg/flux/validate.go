package flux

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Validate returns the FieldErrors of k, which is declared in namespace.
func (k Kustomization) Validate(namespace string) error {
	var fields fleet.Fields
	positive(&fields, "spec.interval", k.Interval, required)
	positive(&fields, "spec.retryInterval", k.RetryInterval, optional)
	positive(&fields, "spec.timeout", k.Timeout, optional)
	if k.Prune == nil {
		fields.Require("spec.prune", "")
	}
	inside(&fields, "spec.path", k.Path)
	k.SourceRef.validate(&fields)
	oneOf(&fields, "spec.deletionPolicy", string(k.DeletionPolicy), string(fleet.MirrorPrune), string(fleet.DeleteObjects), string(fleet.WaitForTermination), string(fleet.OrphanObjects))
	validateDependsOn(&fields, k.DependsOn, namespace)
	refuseKubeConfig(&fields, k.KubeConfig)
	validateBuild(&fields, k.BuildSpec)
	validateRelease(&fields, k.ReleaseSpec)
	return fields.Err()
}

func validateDependsOn(fields *fleet.Fields, refs []DependencyRef, namespace string) {
	for i, dependency := range refs {
		at := fmt.Sprintf("spec.dependsOn[%d]", i)
		fields.Require(at+".name", dependency.Name)
		if dependency.Name == "" {
			continue
		}
		if slices.ContainsFunc(refs[:i], func(d DependencyRef) bool {
			return d.Name == dependency.Name && cmp.Or(d.Namespace, namespace) == cmp.Or(dependency.Namespace, namespace) && d.ReadyExpr != dependency.ReadyExpr
		}) {
			fields.Refuse(at, "%s is named twice, with another readyExpr: put both into one, with &&", dependency.Name)
		}
	}
}

func refuseKubeConfig(fields *fleet.Fields, ref *KubeConfigRef) {
	if ref != nil {
		fields.Refuse("spec.kubeConfig", "a spoke applies to its own cluster only: run a spoke in the other cluster (fleetctl cluster register), and have a Placement name it")
	}
}

func (r SourceRef) validate(fields *fleet.Fields) {
	fields.Require("spec.sourceRef.name", r.Name)
	fields.Require("spec.sourceRef.kind", r.Kind)
	oneOf(fields, "spec.sourceRef.kind", r.Kind, "GitRepository", "OCIRepository", "Bucket", "ExternalArtifact")
	refuseAPIVersion(fields, "spec.sourceRef", r.APIVersion)
}

// maxAffix is the longest prefix or suffix of names, maxNamespace the longest namespace (Kustomize API v1).
const (
	maxAffix     = 200
	maxNamespace = 63
	maxName      = 253
)

var (
	namespacePattern = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
	namePattern      = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
	pointerPattern   = regexp.MustCompile(`^(/([^/~]|~[01])*)+$`) // RFC 6901
)

func validateBuild(fields *fleet.Fields, b fleet.BuildSpec) {
	if n := b.TargetNamespace; n != "" && (len(n) > maxNamespace || !namespacePattern.MatchString(n)) {
		fields.Refuse("spec.targetNamespace", "%q is not a DNS label", n)
	}
	for _, affix := range []struct{ at, text string }{{"spec.namePrefix", b.NamePrefix}, {"spec.nameSuffix", b.NameSuffix}} {
		if len(affix.text) > maxAffix {
			fields.Refuse(affix.at, "is longer than %d bytes", maxAffix)
		}
	}
	validateOverlay(fields, "spec", b.Patches, b.Images)
	for i, component := range b.Components {
		fields.Require(fmt.Sprintf("spec.components[%d]", i), component)
		if path.IsAbs(component) || strings.Contains(component, "://") {
			fields.Refuse(fmt.Sprintf("spec.components[%d]", i), "%q is not a path relative to spec.path", component)
		}
	}
	for i, option := range b.BuildMetadata {
		oneOf(fields, fmt.Sprintf("spec.buildMetadata[%d]", i), option, "originAnnotations", "transformerAnnotations")
	}
}

// validateOverlay checks patches and images of a kustomization that are at a path.
func validateOverlay(fields *fleet.Fields, within string, patches []fleet.Patch, images []fleet.Image) {
	for i, patch := range patches {
		at := fmt.Sprintf("%s.patches[%d]", within, i)
		fields.Require(at+".patch", strings.TrimSpace(patch.Patch))
		validateTarget(fields, at+".target", patch.Target)
	}
	for i, image := range images {
		fields.Require(fmt.Sprintf("%s.images[%d].name", within, i), image.Name)
	}
}

func validateRelease(fields *fleet.Fields, r fleet.ReleaseSpec) {
	refuse(fields, "spec.serviceAccountName", r.ServiceAccountName, serviceAccountProblem)
	for i, check := range r.HealthChecks {
		at := fmt.Sprintf("spec.healthChecks[%d]", i)
		fields.Require(at+".kind", check.Kind)
		fields.Require(at+".name", check.Name)
	}
	validateHealth(fields, r.HealthCheckExprs)
	if p := r.PostBuild; p != nil {
		oneOf(fields, "spec.postBuild.substituteStrategy", p.SubstituteStrategy, fleet.SubstituteWithVariables, fleet.SubstituteAlways)
		for _, name := range slices.Sorted(maps.Keys(p.Substitute)) {
			if !fleet.IsVariable(name) {
				fields.Refuse("spec.postBuild.substitute["+name+"]", fleet.NoVariable)
			}
		}
		for i, from := range p.SubstituteFrom {
			at := fmt.Sprintf("spec.postBuild.substituteFrom[%d]", i)
			fields.Require(at+".kind", from.Kind)
			oneOf(fields, at+".kind", from.Kind, "ConfigMap", "Secret")
			fields.Require(at+".name", from.Name)
		}
	}
	if d := r.Decryption; d != nil {
		fields.Require("spec.decryption.provider", d.Provider)
		oneOf(fields, "spec.decryption.provider", d.Provider, "sops")
		if d.SecretRef != nil {
			fields.Require("spec.decryption.secretRef.name", d.SecretRef.Name)
		}
		if d.ServiceAccountName != "" {
			// Flux refuses it too, unless its controller is told to let Apps have identities at a cloud.
			fields.Refuse("spec.decryption.serviceAccountName", "identities at a cloud are not supported: put the keys, or credentials of the key service, into the Secret of spec.decryption.secretRef")
		}
	}
	validateIgnore(fields, "spec.ignore", r.Ignore)
}

func validateHealth(fields *fleet.Fields, exprs []fleet.HealthCheckExpr) {
	for i, check := range exprs {
		at := fmt.Sprintf("spec.healthCheckExprs[%d]", i)
		fields.Require(at+".apiVersion", check.APIVersion)
		fields.Require(at+".current", check.Current)
	}
}

func validateIgnore(fields *fleet.Fields, list string, rules []fleet.IgnoreRule) {
	for i, rule := range rules {
		at := fmt.Sprintf("%s[%d]", list, i)
		if len(rule.Paths) == 0 {
			fields.Refuse(at+".paths", "at least one path is required")
		}
		for j, pointer := range rule.Paths {
			switch path := fmt.Sprintf("%s.paths[%d]", at, j); {
			case !pointerPattern.MatchString(pointer):
				fields.Refuse(path, "%q is not a JSON pointer such as /spec/replicas or /metadata/annotations/example.com~1key", pointer)
			case slices.Contains([]string{"/apiVersion", "/kind", "/metadata", "/metadata/name", "/metadata/namespace"}, pointer):
				fields.Refuse(path, "%q is what makes an object the one it is", pointer)
			}
		}
		validateTarget(fields, at+".target", rule.Target)
		if rule.Target != nil {
			validateSelector(fields, at+".target.labelSelector", rule.Target.LabelSelector)
			validateSelector(fields, at+".target.annotationSelector", rule.Target.AnnotationSelector)
		}
	}
}

func validateSelector(fields *fleet.Fields, at, text string) {
	if _, err := fleet.ParseSelector(text); err != nil {
		fields.Refuse(at, "%s", err)
	}
}

// validateTarget checks the regular expressions of a target; what it chooses is kustomize's to say.
func validateTarget(fields *fleet.Fields, at string, target *fleet.PatchTarget) {
	if target == nil {
		return
	}
	for _, field := range []struct{ name, pattern string }{
		{"group", target.Group}, {"version", target.Version}, {"kind", target.Kind}, {"namespace", target.Namespace}, {"name", target.Name},
	} {
		pattern(fields, at+"."+field.name, field.pattern)
	}
}

// inside refuses a path that leads out of the source; Flux would take such a one for a path from its root.
func inside(fields *fleet.Fields, at, name string) {
	if clean := path.Clean(strings.TrimLeft(name, "/")); clean == ".." || strings.HasPrefix(clean, "../") {
		fields.Refuse(at, "%q leaves the source", name)
	}
}

// oneOf refuses a value that is set and none of these.
func oneOf(fields *fleet.Fields, at, value string, values ...string) {
	if value != "" && !slices.Contains(values, value) {
		last := len(values) - 1
		text := values[last]
		if last > 0 {
			text = strings.Join(values[:last], ", ") + " or " + text
		}
		fields.Refuse(at, "%q is not %s", value, text)
	}
}

// named wants a reference that is given to have a name.
func named(fields *fleet.Fields, path string, ref *SecretRef) {
	if ref != nil {
		fields.Require(path+".name", ref.Name)
	}
}

// pattern refuses what is no regular expression.
func pattern(fields *fleet.Fields, path, text string) {
	if _, err := regexp.Compile(text); err != nil {
		fields.Refuse(path, "%q is not a regular expression", text)
	}
}

func serviceAccountProblem(name string) string {
	if len(name) > maxName || !namePattern.MatchString(name) {
		return fmt.Sprintf("%q is not the name of a ServiceAccount: lower-case letters, digits, dashes and dots", name)
	}
	return ""
}
