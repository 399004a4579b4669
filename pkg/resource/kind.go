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

// Sources is the category of what Apps are built from.
const Sources = "sources"

// The declared kinds.
var (
	GitRepository = Kind{
		Name: "GitRepository", APIVersion: flux.SourceAPIVersion, Plural: "gitrepositories",
		ShortNames: []string{"gitrepo"}, Namespaced: true, Category: Sources, check: valid[flux.GitRepository],
	}
	OCIRepository = Kind{
		Name: "OCIRepository", APIVersion: flux.SourceAPIVersion, Plural: "ocirepositories",
		ShortNames: []string{"ocirepo"}, Namespaced: true, Category: Sources, check: valid[flux.OCIRepository],
	}
	Bucket = Kind{
		Name: "Bucket", APIVersion: flux.SourceAPIVersion, Plural: "buckets",
		Namespaced: true, Category: Sources, check: valid[flux.Bucket],
	}
	HelmRepository = Kind{
		Name: "HelmRepository", APIVersion: flux.SourceAPIVersion, Plural: "helmrepositories",
		ShortNames: []string{"helmrepo"}, Namespaced: true, Category: Sources, check: valid[flux.HelmRepository],
	}
	HelmChart = Kind{
		Name: "HelmChart", APIVersion: flux.SourceAPIVersion, Plural: "helmcharts",
		ShortNames: []string{"hc"}, Namespaced: true, Category: Sources, check: valid[flux.HelmChart],
	}
	ExternalArtifact = Kind{
		Name: "ExternalArtifact", APIVersion: flux.SourceAPIVersion, Plural: "externalartifacts",
		ShortNames: []string{"ea"}, Namespaced: true, Category: Sources, check: valid[flux.ExternalArtifact],
	}
	Kustomization = Kind{
		Name: flux.KustomizationKind, APIVersion: flux.KustomizeAPIVersion, Plural: "kustomizations",
		ShortNames: []string{"ks"}, Namespaced: true, App: true, check: checkKustomization,
	}
	HelmRelease = Kind{
		Name: flux.HelmReleaseKind, APIVersion: flux.HelmAPIVersion, Plural: "helmreleases",
		ShortNames: []string{"hr"}, Namespaced: true, App: true, check: checkHelmRelease,
	}
	Receiver = Kind{
		Name: "Receiver", APIVersion: flux.NotificationAPIVersion, Plural: "receivers", Namespaced: true, check: valid[flux.Receiver],
	}
	Placement = Kind{
		Name: "Placement", APIVersion: fleet.APIVersion, Plural: "placements",
		ShortNames: []string{"pl"}, Namespaced: true, check: valid[fleet.Placement],
	}
	RolloutPolicy = Kind{
		Name: "RolloutPolicy", APIVersion: fleet.APIVersion, Plural: "rolloutpolicies",
		ShortNames: []string{"rp"}, check: checkRolloutPolicy,
	}
	Cluster = Kind{
		Name: "Cluster", APIVersion: fleet.APIVersion, Plural: "clusters",
		ShortNames: []string{"cl"}, check: valid[fleet.Cluster],
	}
	Secret = Kind{
		Name: "Secret", APIVersion: "v1", Plural: "secrets", Namespaced: true, check: checkSecret,
	}
	ServiceAccount = Kind{
		Name: "ServiceAccount", APIVersion: "v1", Plural: "serviceaccounts", ShortNames: []string{"sa"}, Namespaced: true, check: checkServiceAccount,
	}
	Credential = Kind{
		Name: "Credential", APIVersion: fleet.APIVersion, Plural: "credentials", ShortNames: []string{"cred"}, check: valid[fleet.Credential],
	}
)

// Kinds returns every declared kind, in the order one applies them: what is referred to first.
func Kinds() []Kind {
	return []Kind{
		Secret, ServiceAccount, Credential, HelmRepository, GitRepository, OCIRepository, Bucket, HelmChart, ExternalArtifact, Kustomization, HelmRelease, Receiver, Cluster, RolloutPolicy, Placement,
	}
}

// AppKinds returns the kinds of Apps.
func AppKinds() []Kind {
	return slices.DeleteFunc(Kinds(), func(k Kind) bool { return !k.App })
}

// Reconcilable reports whether the kind does something by itself, that can be asked for, suspended and resumed.
func (k Kind) Reconcilable() bool { return k.App || k.Category == Sources || k.Name == Receiver.Name }

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
		if kind.Category == Sources {
			names = append(names, "sources", "source", "src")
		}
		if slices.Contains(names, word) {
			found = append(found, kind)
		}
	}
	return found
}
