package flux

// Place says where a spec field acts.
type Place string

// The places. Release fields are part of the Release and so rolled out; controls take effect at once, everywhere.
const (
	AtBuild   Place = "build"
	InRelease Place = "release"
	Control   Place = "control"
	AtHub     Place = "hub"
	// Silent is taken and says nothing, as in Flux; Refused is refused with what to do instead.
	Silent  Place = "silent"
	Refused Place = "refused"
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
	{"kubeConfig", Refused, "pkg/flux.TestKubeConfigIsRefusedWithWhatToDoInstead"},
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

// HelmReleaseFields are the fields of a HelmRelease; any other is refused. The timeouts and retry intervals of install,
// upgrade, test, rollback and uninstall are controls.
var HelmReleaseFields = []Field{
	{"chart", AtHub, "hub/release.TestAHelmReleaseBringsItsChartWithIt pkg/flux.TestAHelmReleaseDeclaresTheHelmChartThatFluxMakes"},
	{"chartRef", AtHub, "hub/release.TestAHelmReleaseIsMadeOfWhatItsChartRefNames"},
	{"interval", Control, "hub/release.TestWhatTakesEffectAtOnceMakesNoNewReleaseOfAChart pkg/flux.TestAPlanHasNoControls"},
	{"timeout", Control, "pkg/flux.TestAPlanHasNoControls hub/release.TestWhatTakesEffectAtOnceMakesNoNewReleaseOfAChart"},
	{"suspend", Control, "hub/release.TestWhatTakesEffectAtOnceMakesNoNewReleaseOfAChart pkg/flux.TestTheDeletionOfAHelmReleaseUninstallsUnlessItIsSuspended"},
	{"kubeConfig", Refused, "pkg/flux.TestAHelmReleaseThatNoSpokeCouldActOnIsRefused"},
	{"dependsOn", InRelease, "hub/store.TestHelmReleasesThatWaitForEachOtherAreRefused pkg/flux.TestAHelmReleaseDependsOnOthersAndByTheAnnotationOnAppsOfEitherKind spoke/worker.TestAHelmReleaseWaitsForAKustomizationAndForAnotherHelmRelease"},
	{"releaseName", InRelease, "spoke/helm.TestAReleaseThatIsToBeElsewhereIsUninstalledFirst spoke/helm.TestALongNameOfAReleaseIsShortenedAsInFlux"},
	{"targetNamespace", InRelease, "spoke/helm.TestAReleaseThatIsToBeElsewhereIsUninstalledFirst spoke/helm/sdk.TestInstallCreateNamespace"},
	{"storageNamespace", InRelease, "spoke/helm.TestAReleaseThatIsToBeElsewhereIsUninstalledFirst"},
	{"maxHistory", InRelease, "spoke/helm/sdk.TestMaxHistory"},
	{"serviceAccountName", InRelease, "spoke/helm/sdk.TestActionsActAsTheAccount spoke/helm/process.TestLookupActsAsTheAccount spoke/helm.TestDriftIsPutRightByTheAppsAccount spoke/helm.TestAReleaseWhoseAccountIsGoneStays"},
	{"persistentClient", InRelease, "spoke/helm/sdk.TestPersistentClientRemembersWhatIsServed"},
	{"driftDetection", InRelease, "spoke/helm.TestDriftIsPutRightAtOnceWithoutAnUpgrade spoke/helm.TestDriftIsToldOfAndNothingIsWritten spoke/helm.TestNothingIsAskedOfObjectsWhoseDriftNobodyMinds spoke/helm.TestIgnoredPathsAreLeftToOthersWhenTheRestIsPutRight"},
	{"install", InRelease, "spoke/helm/sdk.TestInstallServerSideApply spoke/helm/sdk.TestInstallDisableTakeOwnership spoke/helm/sdk.TestInstallWaitsForObjectsUnlessDisabled spoke/helm/sdk.TestInstallWaitsForJobsUnlessDisabled spoke/helm/sdk.TestInstallRunsHooksUnlessDisabled spoke/helm/sdk.TestDisableOpenAPIValidation spoke/helm/sdk.TestInstallDisableSchemaValidation spoke/helm/sdk.TestInstallReplace spoke/helm/sdk.TestInstallCreateNamespace spoke/helm/sdk.TestCRDsPolicy spoke/helm.TestAFailedInstallIsUninstalledAndInstalledAgain spoke/helm.TestTheLastFailedInstallStaysToBeLookedAt spoke/helm.TestAFailedTestThatNeedsNoRemedyIsTold spoke/helm.TestEachTransitionOfAReleaseIsFluxs spoke/helm.TestThePauseBeforeATryIsThatOfTheActionThatFailed"},
	{"upgrade", InRelease, "spoke/helm/sdk.TestInstallServerSideApply spoke/helm/sdk.TestDisableOpenAPIValidation spoke/helm/sdk.TestUpgradeOptionsForWaiting spoke/helm/sdk.TestUpgradeDisableHooks spoke/helm/sdk.TestUpgradeDisableWaitForJobs spoke/helm/sdk.TestUpgradeDisableSchemaValidation spoke/helm/sdk.TestUpgradeDisableTakeOwnership spoke/helm/sdk.TestUpgradeForceReplacesWhatCannotBeChanged spoke/helm/sdk.TestUpgradePreserveValues spoke/helm/sdk.TestUpgradeCleanupOnFail spoke/helm/sdk.TestCRDsPolicy spoke/helm.TestAFailedUpgradeIsRolledBackAndTriedUntilRetriesAreExhausted spoke/helm.TestAFailureIsTriedAgainAsItIsAfterTheStrategysInterval spoke/helm.TestAReleaseOfAnotherChartIsMadeAnewUnlessItIsToBeUpdatedInPlace spoke/helm.TestEachTransitionOfAReleaseIsFluxs"},
	{"test", InRelease, "spoke/helm/sdk.TestTestsRunAndAreToldOf spoke/helm/sdk.TestTestTimeout spoke/helm.TestAReleaseThatFailsItsTestsIsRemediated spoke/helm.TestAFailedTestThatNeedsNoRemedyIsTold"},
	{"rollback", InRelease, "spoke/helm/sdk.TestRollbackOptionsForWaitingAndHooks spoke/helm/sdk.TestRollbackServerSideApplyAndForce spoke/helm/sdk.TestRollbackWaitsForJobsUnlessDisabled spoke/helm/sdk.TestRollbackCleanupOnFail"},
	{"uninstall", InRelease, "spoke/helm/sdk.TestUninstallKeepHistory spoke/helm/sdk.TestUninstallRunsHooksUnlessDisabled spoke/helm/sdk.TestUninstallWaitsUnlessDisabled spoke/helm/sdk.TestUninstallDeletionPropagation spoke/helm.TestATombstoneUninstallsWithoutTheChart"},
	{"valuesFrom", InRelease, "spoke/helm/sdk.TestValuesAreMergedInFluxsOrder spoke/helm/sdk.TestBadValuesAreNamedByWhereTheyAreFrom spoke/helm/sdk.TestValuesOfSecretsAreShownToNobodyWhoMayNotSeeThem spoke/helm.TestAChangeOfWhatValuesAreFromCallsForAPass"},
	{"values", InRelease, "hub/release.TestHelmReleasesOfOneChartFetchAndPackageItOnceAndOtherValuesShipThePlanAlone hub/store.TestAHelmReleaseIsAssignedWithItsPlacementsValues spoke/helm/sdk.TestValuesAreMergedInFluxsOrder spoke/helm/sdk.TestVariablesOfTheClusterArePutInWhereThatIsAskedFor"},
	{"commonMetadata", InRelease, "spoke/helm/sdk.TestPostRenderersWorkInOrderThenThePlacementThenTheMetadata spoke/helm/sdk.TestDigestsOfPostRenderersAndCommonMetadataAreThoseOfFlux"},
	{"postRenderers", InRelease, "spoke/helm/sdk.TestPostRenderersWorkInOrderThenThePlacementThenTheMetadata spoke/helm/sdk.TestAPostRendererThatFailsIsNamed"},
	{"postRenderStrategy", InRelease, "spoke/helm/sdk.TestPostRenderStrategy"},
	{"waitStrategy", InRelease, "spoke/helm/sdk.TestWaitStrategyIsWhoseEyeIsOnTheObjects spoke/helm/sdk.TestWaitStrategies"},
	{"healthCheckExprs", InRelease, "spoke/helm/sdk.TestWaitIsByTheExpressionsOfTheSpec"},
}

// GitRepositoryFields are the fields of a GitRepository; any other is refused.
var GitRepositoryFields = []Field{
	{"url", AtHub, "hub/source/git.TestGitFollowsABranch hub/source/git.TestGitFetchesOverSSH"},
	{"interval", AtHub, "hub/release.TestGitRepositoriesAndBucketsAreAskedAtTheirIntervals"},
	{"timeout", AtHub, "hub/source/git.TestFailuresSayWhatWhereAndWhatToDo"},
	{"ref", AtHub, "hub/source/git.TestGitFollowsTagsAndCommits hub/source/git.TestGitFollowsTheHighestVersion hub/source/git.TestGitFollowsARefByItsName"},
	{"secretRef", AtHub, "hub/source/git.TestGitAuthenticates hub/source/git.TestGitShowsABearerToken hub/source/git.TestGitShowsACertificate hub/source/git.TestGitFetchesOverSSH"},
	{"provider", AtHub, "hub/source/git.TestGitUsesAGitHubApp hub/source/git.TestTheHubsIdentityAtAzureIsUsedWhereItIsGranted"},
	{"serviceAccountName", Refused, "pkg/flux.TestGitRepositoryThatCouldNotBeFetchedIsRefused"},
	{"proxySecretRef", AtHub, "hub/source.TestEveryKindGoesThroughItsProxy"},
	{"verify", AtHub, "hub/source/git.TestSignaturesOfCommitsAreVerified hub/source/git.TestSignaturesOfTagsAreVerified"},
	{"ignore", AtHub, "hub/source/git.TestSpecIgnoreComesAfterTheRepositorysFiles"},
	{"recurseSubmodules", AtHub, "hub/source/git.TestSubmodulesAreFetchedWithTheirRepository"},
	{"include", AtHub, "hub/source/git.TestOtherRepositoriesAreIncluded"},
	{"sparseCheckout", AtHub, "hub/source/git.TestASparseCheckoutHasItsDirectoriesAlone"},
	{"suspend", AtHub, "hub/release.TestEveryKindIsFetchedSuspendedResumedAndAskedFor"},
}

// OCIRepositoryFields are the fields of an OCIRepository; any other is refused.
var OCIRepositoryFields = []Field{
	{"url", AtHub, "pkg/flux.TestTheAddressOfAnOCIRepositoryNamesARepositoryAlone hub/source/oci.TestATagIsOneRequestAndItsDigestIsFetched"},
	{"interval", AtHub, "hub/release.TestAnOCIRepositoryIsAskedAtItsInterval pkg/flux.TestOCIRepositoryIsTakenAsFluxTakesIt"},
	{"timeout", AtHub, "hub/source/oci.TestAHungRegistryEndsWithTheTimeout pkg/flux.TestOCIRepositoryIsTakenAsFluxTakesIt"},
	{"ref", AtHub, "hub/source/oci.TestTheRefSaysWhatIsPulledDigestBeforeRangeBeforeTag"},
	{"layerSelector", AtHub, "hub/source/oci.TestTheLayerThatIsSelectedIsTheArtifact"},
	{"provider", AtHub, "hub/source/oci.TestTheHubsIdentityIsUsedOnlyWhereItIsGranted hub/source/oci.TestLoginAtAWSIsASignedRequestToTheRegionOfTheRegistry hub/source/oci.TestLoginAtAzureExchangesATokenAtTheRegistry hub/source/oci.TestLoginAtGoogleIsTheTokenOfTheIdentity"},
	{"secretRef", AtHub, "hub/source/oci.TestACredentialIsSentToTheRegistryThatItIsFor"},
	{"serviceAccountName", AtHub, "hub/source/oci.TestACredentialIsSentToTheRegistryThatItIsFor hub/release.TestImagePullSecretsOfAServiceAccountAreASourcesCredentials"},
	{"certSecretRef", AtHub, "hub/source/oci.TestAClientsCertificateIsShown"},
	{"proxySecretRef", AtHub, "hub/source/oci.TestAProxyIsGoneThrough"},
	{"insecure", AtHub, "hub/source/oci.TestWithoutInsecureOnlyTLSThatIsTrustedWillDo"},
	{"verify", AtHub, "hub/source/oci.TestNothingIsPulledThatIsNotSigned hub/source/verify.TestASignatureByAKeyOfTheSecretIsGood hub/source/verify.TestAKeylessSignatureByAnIdentityThatMatchesIsGood hub/source/verify.TestASignatureOfNotationThatThePolicyTrustsIsGood"},
	{"ignore", AtHub, "hub/source/oci.TestWhatIsIgnoredIsNeitherInTheTreeNorStored"},
	{"suspend", AtHub, "hub/release.TestEveryKindIsFetchedSuspendedResumedAndAskedFor"},
}

// BucketFields are the fields of a Bucket; any other is refused.
var BucketFields = []Field{
	{"provider", AtHub, "hub/source/bucket.TestCredentialsAreThoseOfTheSpec hub/source/bucket.TestGoogleCloudStorageIsListedAndRead hub/source/bucket.TestAzureBlobStorageIsListedAndRead"},
	{"bucketName", AtHub, "hub/source/bucket.TestABucketIsFollowed hub/source/bucket.TestFailuresSayWhatWhereAndWhatToDo"},
	{"endpoint", AtHub, "hub/source/bucket.TestABucketIsFollowed"},
	{"sts", AtHub, "hub/source/bucket.TestCredentialsAreThoseOfTheSpec hub/source/bucket.TestTemporaryKeysAreAskedForOnce"},
	{"insecure", AtHub, "hub/source/bucket.TestCredentialsAreThoseOfTheSpec"},
	{"region", AtHub, "hub/source/bucket.TestTheRegionIsWhatIsSignedFor"},
	{"prefix", AtHub, "hub/source/bucket.TestWhatIsIgnoredIsNeitherListedNorFetched"},
	{"secretRef", AtHub, "hub/source/bucket.TestCredentialsAreThoseOfTheSpec hub/source/bucket.TestAzureBlobStorageIsReadByWhomTheSpecSays hub/source/bucket.TestGoogleCloudStorageIsReadByWhomTheSpecSays"},
	{"serviceAccountName", Refused, "pkg/flux.TestABucketThatCouldNotBeFetchedIsRefused"},
	{"certSecretRef", AtHub, "hub/source/bucket.TestCredentialsAreThoseOfTheSpec"},
	{"proxySecretRef", AtHub, "hub/source/bucket.TestAProxyIsGoneThrough"},
	{"interval", AtHub, "hub/release.TestGitRepositoriesAndBucketsAreAskedAtTheirIntervals"},
	{"timeout", AtHub, "hub/source/bucket.TestFailuresSayWhatWhereAndWhatToDo"},
	{"ignore", AtHub, "hub/source/bucket.TestWhatIsIgnoredIsNeitherListedNorFetched"},
	{"suspend", AtHub, "hub/release.TestEveryKindIsFetchedSuspendedResumedAndAskedFor"},
}

// HelmRepositoryFields are the fields of a HelmRepository; any other is refused.
var HelmRepositoryFields = []Field{
	{"url", AtHub, "hub/source/helm.TestTheRevisionOfARepositoryIsTheDigestOfItsIndex hub/source/helm.TestAQueryOfTheRepositoryIsSentWithWhatItNamesRelatively"},
	{"secretRef", AtHub, "hub/source/helm.TestTheCredentialStaysAtTheRepositorysServer hub/source/helm.TestRepositorysFailuresSayWhatToDo hub/source/helm.TestChartsComeFromARealRegistry"},
	{"certSecretRef", AtHub, "hub/source/helm.TestCertificatesAreTakenFromEitherSecret hub/source/helm.TestChartsComeFromARealRegistry"},
	{"passCredentials", AtHub, "hub/source/helm.TestTheCredentialStaysAtTheRepositorysServer"},
	{"interval", AtHub, "hub/release.TestAChartFollowsItsRepositoryWhichIsAskedAtItsInterval pkg/flux.TestHelmRepositoryIsTakenAsFluxTakesIt"},
	{"insecure", AtHub, "hub/source/helm.TestAChartOfARegistryIsTheLayerOfItsTag hub/source/helm.TestARegistryThatHangsIsATimeoutOfTheChart"},
	{"timeout", AtHub, "hub/source/helm.TestServersThatHangHoldUpNoOthers hub/source/helm.TestARegistryThatHangsIsATimeoutOfTheChart"},
	{"suspend", AtHub, "hub/release.TestEveryKindIsFetchedSuspendedResumedAndAskedFor"},
	{"accessFrom", Silent, "pkg/flux.TestHelmRepositoryIsTakenAsFluxTakesIt"},
	{"type", AtHub, "hub/source/helm.TestNothingIsFetchedOfARegistrysRepository hub/source/helm.TestChartsComeFromARealRegistry"},
	{"provider", AtHub, "hub/source/helm.TestAChartOfARegistryIsTheLayerOfItsTag"},
}

// HelmChartFields are the fields of a HelmChart; any other is refused.
var HelmChartFields = []Field{
	{"chart", AtHub, "hub/source/helm.TestAChartThatNothingChangesKeepsUpstreamsBytes hub/source/helm.TestADirectoryIsPackagedAsHelmLoadsIt"},
	{"version", AtHub, "hub/source/helm.TestTheVersionIsChosenAsFluxChoosesIt hub/source/helm.TestChartsComeFromARealRegistry"},
	{"sourceRef", AtHub, "hub/source/helm.TestAChartThatNothingChangesKeepsUpstreamsBytes hub/source/helm.TestTheVersionSaysWhatAChartOfASourceFollowsFrom hub/source/helm.TestChartsComeFromARealRegistry"},
	{"interval", AtHub, "hub/release.TestAChartOfARegistryIsAskedForAtItsInterval"},
	{"reconcileStrategy", AtHub, "hub/source/helm.TestTheVersionSaysWhatAChartOfASourceFollowsFrom"},
	{"valuesFiles", AtHub, "hub/source/helm.TestValuesFilesTakeThePlaceOfTheChartsValues hub/source/helm.TestTheVersionSaysWhatAChartOfASourceFollowsFrom"},
	{"ignoreMissingValuesFiles", AtHub, "hub/source/helm.TestValuesFilesTakeThePlaceOfTheChartsValues"},
	{"suspend", AtHub, "hub/release.TestEveryKindIsFetchedSuspendedResumedAndAskedFor"},
	{"verify", AtHub, "hub/source/helm.TestAChartOfARegistryIsTheLayerOfItsTag hub/source/helm.TestProvenanceOfAChartOverHTTPIsVerified"},
}

// ExternalArtifactFields are the fields of an ExternalArtifact; any other is refused.
var ExternalArtifactFields = []Field{
	{"sourceRef", AtHub, "hub/api.TestDeclaredArtifactKeepsItsSpecWhenPushedTo"},
}

// ReceiverFields are the fields of a Receiver; any other is refused.
var ReceiverFields = []Field{
	{"type", AtHub, "hub/hook.TestCallsOfEveryType"},
	{"interval", AtHub, "hub/store.TestARotatedTokenMovesThePathAtOnce"},
	{"events", AtHub, "hub/hook.TestCallsOfEveryType pkg/flux.TestReceiversThatAreRefused"},
	{"resources", AtHub, "hub/hook.TestACallMakesDueWhatTheReceiverSelects"},
	{"resourceFilter", AtHub, "hub/hook.TestFiltersSeeTheObjectTheCallAndTheClaims"},
	{"secretRef", AtHub, "hub/store.TestARotatedTokenMovesThePathAtOnce"},
	{"oidcProviders", AtHub, "hub/hook.TestTokensOfAnIssuer"},
	{"suspend", AtHub, "hub/hook.TestACallOfASuspendedReceiverIsPutOff"},
}
