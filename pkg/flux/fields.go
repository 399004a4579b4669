package flux

// Place says where a spec field acts.
type Place string

// The places. Release fields are part of the Release and so rolled out; controls take effect at once, everywhere.
const (
	AtBuild   Place = "build"
	InRelease Place = "release"
	Control   Place = "control"
	AtHub     Place = "hub"
)

// Field is one spec field and where it acts.
type Field struct {
	Path  string
	Place Place
}

// KustomizationFields are the fields of a Kustomization that are taken; any other is refused.
var KustomizationFields = []Field{
	{"interval", Control},
	{"retryInterval", Control},
	{"timeout", Control},
	{"path", AtBuild},
	{"sourceRef", AtHub},
	{"prune", InRelease},
	{"wait", InRelease},
	{"suspend", Control},
	{"deletionPolicy", AtHub},
}

// GitRepositoryFields are the fields of a GitRepository that are taken; any other is refused.
var GitRepositoryFields = []Field{
	{"url", AtHub},
	{"interval", AtHub},
	{"timeout", AtHub},
	{"ref", AtHub},
	{"secretRef", AtHub},
	{"suspend", AtHub},
}
