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

// Field is one spec field, where it acts, and what proves it: "directory.TestName", several of them separated by spaces.
type Field struct {
	Path  string
	Place Place
	Test  string
}

// KustomizationFields are the fields of a Kustomization that are taken; any other is refused.
var KustomizationFields = []Field{
	{"interval", Control, "spoke/worker.TestNextStepFollowsFromTheAssignmentAndWhatWasDone test/e2e.TestAnAppWithoutARetryIntervalIsTriedAgainAtItsInterval hub/store.TestControlsReachTheSpokeWithoutANewPin"},
	{"retryInterval", Control, "spoke/worker.TestFailureIsReportedAndRetried test/e2e.TestAnAppThatFailedIsTriedAgainAtItsRetryInterval"},
	{"timeout", Control, "test/e2e.TestDeploymentThatNeverBecomesReadyFailsWithTheReasonOfItsPods"},
	{"path", AtBuild, "hub/release.TestCommitBuildsOnlyTheAppsWhoseInputsItTouches pkg/build.TestBuildSaysWhichPathIsNotThere test/e2e.TestBuildFieldsReachTheCluster"},
	{"sourceRef", AtHub, "hub/release.TestSourceOfAnotherNamespaceIsDenied hub/release.TestSourceOfAnotherNamespaceIsBuiltWhereThatIsAllowed test/e2e.TestBuildFieldsReachTheCluster"},
	{"prune", InRelease, "spoke/deploy.TestObjectsAreCreatedUpdatedAndPruned spoke/deploy.TestPruneSpares"},
	{"wait", InRelease, "spoke/worker.TestHealthIsAwaitedBesideThePassAndItsTimeoutReported test/e2e.TestDeploymentThatNeverBecomesReadyFailsWithTheReasonOfItsPods"},
	{"commonMetadata", InRelease, "spoke/deploy.TestCommonMetadataTakesThePlaceOfWhatObjectsSayAndIsNotSubstituted"},
	{"postBuild", InRelease, "spoke/deploy.TestPostBuildSubstitutesInTheTextSoThatTypesComeOutAsInFlux"},
	{"suspend", Control, "spoke/deploy.TestASuspendedAppIsLeftAloneAndPutBackWhenResumed test/e2e.TestSuspendedAppRestsUntilItIsResumed"},
	{"deletionPolicy", AtHub, "test/e2e.TestDeletionTable"},
	{"kubeConfig", AtHub, "pkg/flux.TestKubeConfigIsRefusedWithWhatToDoInstead"},
	{"force", InRelease, "spoke/deploy.TestForceMakesAnewWhatCannotBeChanged"},
	{"ignore", InRelease, "spoke/deploy.TestFieldsThatAreIgnoredStayAsOthersHaveThem"},
	{"serviceAccountName", InRelease, "spoke/deploy.TestAnAppDoesWhatItsServiceAccountMayAndNoMore"},
	{"targetNamespace", AtBuild, "test/e2e.TestBuildFieldsReachTheCluster"},
	{"namePrefix", AtBuild, "test/e2e.TestBuildFieldsReachTheCluster"},
	{"nameSuffix", AtBuild, "test/e2e.TestBuildFieldsReachTheCluster"},
	{"patches", AtBuild, "test/e2e.TestBuildFieldsReachTheCluster"},
	{"images", AtBuild, "test/e2e.TestBuildFieldsReachTheCluster"},
	{"components", AtBuild, "test/e2e.TestBuildFieldsReachTheCluster"},
	{"ignoreMissingComponents", AtBuild, "test/e2e.TestBuildFieldsReachTheCluster"},
	{"buildMetadata", AtBuild, "test/e2e.TestBuildFieldsReachTheCluster"},
	{"decryption", InRelease, "spoke/deploy.TestDecryptionOfObjectsAndOfValuesWithAgeAndPGP"},
	{"healthChecks", InRelease, "spoke/deploy.TestReadyWaitsForHealthChecksOfOthersObjectsToo"},
	{"healthCheckExprs", InRelease, "spoke/deploy.TestHealthExpressionsTakeThePlaceOfKstatus"},
	{"dependsOn", InRelease, "test/e2e.TestDependencyIsReadyAtTheNewRevisionBeforeWhatDependsOnItIsApplied"},
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
