package api_test

import (
	"testing"

	"google.golang.org/grpc/codes"
)

func TestRolloutPolicyIsRefusedByTheFieldThatIsWrong(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	for spec, words := range map[string]string{
		`{}`: "RolloutPolicy/prod: spec.waves: at least one wave is required",
		`{"waves":[{"name":"a","limit":1},{"name":"a"}]}`:                                                              `spec.waves[1].name: "a" is the name of two waves`,
		`{"waves":[{"name":"a"},{"name":"b"}]}`:                                                                        `spec.waves[1]: gets no cluster: wave "a" before it takes every one`,
		`{"waves":[{"name":"a","maxConcurrent":0}]}`:                                                                   "spec.waves[0].maxConcurrent: ",
		`{"waves":[{"name":"a","maxConcurrent":"0%"}]}`:                                                                "spec.waves[0].maxConcurrent: 0% lets nothing through",
		`{"waves":[{"name":"a"}],"maxUnavailable":0}`:                                                                  "spec.maxUnavailable: ",
		`{"waves":[{"name":"a","select":{"matchExpressions":[{"key":"tier","operator":"Near"}]}}]}`:                    "spec.waves[0].select.matchExpressions[0].operator: ",
		`{"waves":[{"name":"a","maxConcurent":1}]}`:                                                                    "spec.waves[0].maxConcurent: not supported yet, or misspelt",
		`{"waves":[{"name":"a"}],"windows":[{"cron":"0 0 31 2 *","duration":"1h"}]}`:                                   "spec.windows[0]",
		`{"waves":[{"name":"a"}],"windows":[{"cron":"0 8 * * 1-5","timeZone":"Europe/Nowhere","duration":"1h"}]}`:      "spec.windows[0].timeZone: ",
		`{"waves":[{"name":"a","after":[{"approval":{"approvers":["user:a"],"minApprovers":2}}]}]}`:                    "spec.waves[0].after[0].approval.minApprovers: 2 can never approve",
		`{"waves":[{"name":"a","after":[{"soak":{}}]}]}`:                                                               "spec.waves[0].after[0].soak.duration: is required",
		`{"waves":[{"name":"a","after":[{"analysis":{"provider":{"type":"prometheus","address":"x"},"query":"q"}}]}]}`: "spec.waves[0].after[0].analysis.provider.address: ",
		`{"waves":[{"name":"a"}],"cluster":{"progressDeadline":"soon"}}`:                                               "spec.cluster.progressDeadline: ",
		`{"waves":[{"name":"a"}],"onFailure":{"action":"Explode"}}`:                                                    `spec.onFailure.action: "Explode" is not Halt or Rollback`,
	} {
		_, err := b.try(policyYAML("prod", spec))
		wantCode(t, err, codes.InvalidArgument, words)
	}
	b.apply(policyYAML("prod", canaryFirst))
}

// A Placement may be declared before its policy.
func TestPlacementThatNamesAPolicyWhichIsNotThereIsTakenIn(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(placementYAML("app", managedEverywhere))
	_, err := b.try(placementYAML("app", `{"apps":[{"kind":"Kustomization","name":"app"}],"clusters":{"selector":{}},"rolloutPolicyRef":{}}`))
	wantCode(t, err, codes.InvalidArgument, "spec.rolloutPolicyRef.name: is required")
}
