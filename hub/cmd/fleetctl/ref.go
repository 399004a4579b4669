package main

import (
	"strings"

	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/pkg/resource"
)

// everyCluster stands for all of them where a cluster may be named.
const everyCluster = "*"

// ref names an object of the fleet, or with a cluster, its instance there.
type ref struct {
	kind      resource.Kind
	namespace string
	name      string
	cluster   string
}

// String is the shortest form a person types: "ks/podinfo@eu-1".
func (r ref) String() string {
	text := shortName(r.kind) + "/" + r.name
	if r.cluster != "" {
		text += "@" + r.cluster
	}
	return text
}

// command is String with the namespace, to be pasted behind a verb.
func (r ref) command() string {
	if r.namespace == "" {
		return r.String()
	}
	return r.String() + " -n " + r.namespace
}

// pasted is the object as one argument that names it whatever the namespace meant.
func (r ref) pasted() string {
	if r.namespace == "" {
		return r.String()
	}
	r.name = r.namespace + "/" + r.name
	return r.String()
}

// key tells r from every other ref.
func (r ref) key() string {
	return strings.Join([]string{r.kind.Name, r.namespace, r.name, r.cluster}, "/")
}

func shortName(k resource.Kind) string {
	if len(k.ShortNames) > 0 {
		return k.ShortNames[0]
	}
	return strings.ToLower(k.Name)
}

// typeName is the kind as kubectl prints it: "kustomization.kustomize.toolkit.fluxcd.io".
func typeName(k resource.Kind) string {
	group, _, grouped := strings.Cut(k.APIVersion, "/")
	if !grouped {
		return strings.ToLower(k.Name)
	}
	return strings.ToLower(k.Name) + "." + group
}

// typed is the object as kubectl's -o name has it.
func (r ref) typed() string {
	text := typeName(r.kind) + "/" + r.name
	if r.cluster != "" {
		text += "@" + r.cluster
	}
	return text
}

// parseRefs reads arguments that name single objects: KIND/NAME[@CLUSTER]... or KIND NAME[@CLUSTER]...
func (a *app) parseRefs(cmd *cobra.Command, args []string) ([]ref, error) {
	if err := a.settings(); err != nil {
		return nil, err
	}
	args = fluxWords(args)
	if len(args) == 0 {
		return nil, usagef(cmd, "%s", missingArguments(cmd))
	}
	if !strings.Contains(args[0], "/") {
		if len(args) == 1 {
			return nil, usagef(cmd, "%q names no object: KIND/NAME does", args[0])
		}
		return a.parseNames(cmd, args[0], args[1:])
	}
	var refs []ref
	for _, arg := range args {
		word, name, slashed := strings.Cut(arg, "/")
		if !slashed {
			return nil, usagef(cmd, "%q stands among arguments of the form KIND/NAME", arg)
		}
		kind, err := oneKind(cmd, word)
		if err != nil {
			return nil, err
		}
		r, err := a.newRef(cmd, kind, name)
		if err != nil {
			return nil, err
		}
		refs = append(refs, r)
	}
	return refs, nil
}

func (a *app) parseNames(cmd *cobra.Command, word string, names []string) ([]ref, error) {
	kind, err := oneKind(cmd, word)
	if err != nil {
		return nil, err
	}
	var refs []ref
	for _, name := range names {
		if strings.Contains(name, "/") {
			return nil, usagef(cmd, "%q stands behind a kind: only a name may", name)
		}
		r, err := a.newRef(cmd, kind, name)
		if err != nil {
			return nil, err
		}
		refs = append(refs, r)
	}
	return refs, nil
}

// newRef reads NAME[@CLUSTER] or NAMESPACE/NAME[@CLUSTER].
func (a *app) newRef(cmd *cobra.Command, kind resource.Kind, text string) (ref, error) {
	name, cluster, instance := strings.Cut(text, "@")
	r := ref{kind: kind, namespace: a.namespace(), name: name, cluster: cluster}
	if namespace, rest, given := strings.Cut(name, "/"); given {
		r.namespace, r.name = namespace, rest
	}
	if !kind.Namespaced {
		r.namespace = ""
	}
	switch {
	case !isName(r.namespace) && kind.Namespaced, !isName(r.name), instance && cluster != "" && cluster != everyCluster && !isName(cluster):
		return ref{}, usagef(cmd, "%q is not a name: letters, digits, '-' and '.' make one", text)
	case instance && cluster == "":
		return ref{}, usagef(cmd, "%q names no cluster behind the @", text)
	case instance && !kind.App:
		return ref{}, usagef(cmd, "a %s has no instance in a cluster: leave @%s out", kind.Name, cluster)
	}
	return r, nil
}

// fluxSources are the kinds of sources by the words that Flux's client has for them.
var fluxSources = map[string]string{
	"all": resource.Sources, "git": resource.GitRepository.Plural, "oci": resource.OCIRepository.Plural, "helm": resource.HelmRepository.Plural,
	"chart": resource.HelmChart.Plural, "bucket": resource.Bucket.Plural, "external": resource.ExternalArtifact.Plural,
}

// fluxWords takes arguments as Flux's client has them, source git NAME, for what they are here: gitrepositories NAME.
func fluxWords(args []string) []string {
	if len(args) < 2 || args[0] != "source" && args[0] != "sources" || fluxSources[args[1]] == "" {
		return args
	}
	return append([]string{fluxSources[args[1]]}, args[2:]...)
}

func isName(text string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-."
	return text != "" && strings.Trim(text, letters) == ""
}

// findKinds returns the kinds that a word means.
func findKinds(cmd *cobra.Command, word string) ([]resource.Kind, error) {
	if plural, group, qualified := strings.Cut(word, "."); qualified {
		for _, kind := range resource.FindKinds(plural) {
			if typeName(kind) == strings.ToLower(kind.Name)+"."+group {
				return []resource.Kind{kind}, nil
			}
		}
	}
	kinds := resource.FindKinds(word)
	if len(kinds) == 0 {
		problem := usagef(cmd, "%q is not a kind", word)
		problem.next = "fleetctl api-resources"
		return nil, problem
	}
	return kinds, nil
}

// oneKind returns the kind that a word means where it must be one.
func oneKind(cmd *cobra.Command, word string) (resource.Kind, error) {
	var kinds []resource.Kind
	for _, part := range strings.Split(word, ",") {
		found, err := findKinds(cmd, part)
		if err != nil {
			return resource.Kind{}, err
		}
		kinds = append(kinds, found...)
	}
	if len(kinds) > 1 {
		return resource.Kind{}, usagef(cmd, "%q means several kinds: where objects are named, it must be one", word)
	}
	return kinds[0], nil
}

// fleetWide refuses refs that name a cluster.
func fleetWide(cmd *cobra.Command, refs []ref) error {
	for _, r := range refs {
		if r.cluster != "" {
			return usagef(cmd, "%s: %s acts on the whole fleet: leave @%s out", r, cmd.Name(), r.cluster)
		}
	}
	return nil
}
