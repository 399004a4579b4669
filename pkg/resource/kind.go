package resource

import (
	"slices"
	"strings"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

// Kind is a declared kind.
type Kind struct {
	Name       string   `json:"kind"`
	APIVersion string   `json:"apiVersion"`
	Plural     string   `json:"name"`
	ShortNames []string `json:"shortNames"`
	Namespaced bool     `json:"namespaced"`
	// Category is a name that stands for several kinds: "sources".
	Category string `json:"category,omitempty"`
	// App kinds have an instance in each cluster they are placed on.
	App bool `json:"app"`

	// check decodes the spec strictly and validates it.
	check func(*Object) error
}

// The declared kinds.
var (
	GitRepository = Kind{
		Name: "GitRepository", APIVersion: flux.SourceAPIVersion, Plural: "gitrepositories",
		ShortNames: []string{"gitrepo"}, Namespaced: true, Category: "sources", check: checkGitRepository,
	}
	Kustomization = Kind{
		Name: "Kustomization", APIVersion: flux.KustomizeAPIVersion, Plural: "kustomizations",
		ShortNames: []string{"ks"}, Namespaced: true, App: true, check: checkKustomization,
	}
	Placement = Kind{
		Name: "Placement", APIVersion: fleet.APIVersion, Plural: "placements",
		ShortNames: []string{"pl"}, Namespaced: true, check: checkPlacement,
	}
	Cluster = Kind{
		Name: "Cluster", APIVersion: fleet.APIVersion, Plural: "clusters",
		ShortNames: []string{"cl"}, check: checkCluster,
	}
	Secret = Kind{
		Name: "Secret", APIVersion: "v1", Plural: "secrets", Namespaced: true, check: checkSecret,
	}
)

// Kinds returns every declared kind, in the order one applies them: what is referred to first.
func Kinds() []Kind { return []Kind{Secret, GitRepository, Kustomization, Cluster, Placement} }

// KindOf returns the kind of that exact name.
func KindOf(name string) (Kind, bool) {
	kinds := Kinds()
	i := slices.IndexFunc(kinds, func(k Kind) bool { return k.Name == name })
	if i < 0 {
		return Kind{}, false
	}
	return kinds[i], true
}

// FindKinds returns the kinds that word means: a kind's name, plural, singular or short name in any case, or a
// category such as "sources" (also "source", "src").
func FindKinds(word string) []Kind {
	word = strings.ToLower(word)
	var found []Kind
	for _, kind := range Kinds() {
		names := append([]string{strings.ToLower(kind.Name), kind.Plural}, kind.ShortNames...)
		if kind.Category == "sources" {
			names = append(names, "sources", "source", "src")
		}
		if slices.Contains(names, word) {
			found = append(found, kind)
		}
	}
	return found
}
