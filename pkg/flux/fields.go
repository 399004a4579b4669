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

// Field is one spec field, where it acts, and the test that proves it: "package.TestName".
type Field struct {
	Path  string
	Place Place
	Test  string
}

// KustomizationFields are the fields of a Kustomization that are taken; any other is refused.
var KustomizationFields = []Field{
	{"interval", Control, ""},
	{"retryInterval", Control, ""},
	{"timeout", Control, ""},
	{"path", AtBuild, ""},
	{"sourceRef", AtHub, ""},
	{"prune", InRelease, ""},
	{"wait", InRelease, ""},
	{"commonMetadata", InRelease, "spoke/deploy.TestCommonMetadataTakesThePlaceOfWhatObjectsSayAndIsNotSubstituted"},
	{"postBuild", InRelease, "spoke/deploy.TestPostBuildSubstitutesInTheTextSoThatTypesComeOutAsInFlux"},
	{"suspend", Control, ""},
	{"deletionPolicy", AtHub, ""},
	{"kubeConfig", AtHub, ""},
	{"targetNamespace", AtBuild, "test/e2e.TestBuildFieldsReachTheCluster"},
	{"namePrefix", AtBuild, "test/e2e.TestBuildFieldsReachTheCluster"},
	{"nameSuffix", AtBuild, "test/e2e.TestBuildFieldsReachTheCluster"},
	{"patches", AtBuild, "test/e2e.TestBuildFieldsReachTheCluster"},
	{"images", AtBuild, "test/e2e.TestBuildFieldsReachTheCluster"},
	{"components", AtBuild, "test/e2e.TestBuildFieldsReachTheCluster"},
	{"ignoreMissingComponents", AtBuild, "test/e2e.TestBuildFieldsReachTheCluster"},
	{"buildMetadata", AtBuild, "test/e2e.TestBuildFieldsReachTheCluster"},
	{"decryption", InRelease, "spoke/deploy.TestDecryptionOfObjectsAndOfValuesWithAgeAndPGP"},
}

// NotYet are the fields of a Kustomization that are known and refused for now: nothing is accepted and ignored. A field
// that comes to work moves to KustomizationFields.
var NotYet = []Field{
	{"force", InRelease, ""},
	{"serviceAccountName", InRelease, ""},
	{"healthChecks", InRelease, ""},
	{"healthCheckExprs", InRelease, ""},
	{"ignore", InRelease, ""},
	{"dependsOn", InRelease, ""},
}

// GitRepositoryFields are the fields of a GitRepository that are taken; any other is refused.
var GitRepositoryFields = []Field{
	{"url", AtHub, ""},
	{"interval", AtHub, ""},
	{"timeout", AtHub, ""},
	{"ref", AtHub, ""},
	{"secretRef", AtHub, ""},
	{"suspend", AtHub, ""},
}
