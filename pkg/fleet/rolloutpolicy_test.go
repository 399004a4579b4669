package fleet_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
)

func policyOf(t *testing.T, text string) fleet.RolloutPolicy {
	t.Helper()
	var p fleet.RolloutPolicy
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAPolicyIsRefusedWithTheFieldsPath(t *testing.T) {
	t.Parallel()
	wave := func(fields string) string { return `{"waves":[{"name":"a",` + fields + `}]}` }
	approval := func(fields string) string { return wave(`"before":[{"approval":{` + fields + `}}]`) }
	analysis := `{"analysis":{"provider":{"type":"prometheus","address":"http://p"},"query":"up","max":1%s}}`
	for text, want := range map[string]string{
		`{}`:           "spec.waves: at least one wave is required",
		`{"waves":[]}`: "spec.waves: at least one wave is required",
		`{"waves":[{"name":"a","limit":1},{"name":"a"}]}`:                       `spec.waves[1].name: "a" is the name of two waves`,
		`{"waves":[{"name":"a"},{"name":"b"}]}`:                                 `spec.waves[1]: gets no cluster: wave "a" before it takes every one`,
		`{"waves":[{"name":"a","select":{}},{"name":"b"}]}`:                     `spec.waves[1]: gets no cluster`,
		`{"waves":[{"name":"_rest"}]}`:                                          `spec.waves[0].name: "_rest" is not lower case`,
		`{"waves":[{}]}`:                                                        "spec.waves[0].name: is required",
		wave(`"maxConcurrent":0`):                                               "spec.waves[0].maxConcurrent: 0 lets nothing through for ever: use before: [approval] to hold a wave",
		wave(`"maxConcurrent":"0%"`):                                            "spec.waves[0].maxConcurrent: 0% lets nothing through for ever: use before: [approval] to hold a wave",
		wave(`"maxConcurrent":"101%"`):                                          "spec.waves[0].maxConcurrent: \"101%\" is more than all",
		wave(`"maxFailures":-1`):                                                "spec.waves[0].maxFailures: -1 is below zero",
		wave(`"minUpdated":"some"`):                                             `spec.waves[0].minUpdated: "some" is not a number of clusters`,
		wave(`"limit":0`):                                                       "spec.waves[0].limit: 0 lets nothing through",
		wave(`"order":{"by":"Label"}`):                                          "spec.waves[0].order.key: is required",
		wave(`"select":{"matchLabels":{"a b":"c"}}`):                            `spec.waves[0].select.matchLabels: "a b" is not a label key`,
		wave(`"select":{"matchLabels":{"a":"b c"}}`):                            `spec.waves[0].select.matchLabels[a]: "b c" is not a label value`,
		wave(`"select":{"matchExpressions":[{"key":"a","operator":"Is"}]}`):     `spec.waves[0].select.matchExpressions[0].operator: "Is" is not In`,
		`{"waves":[{"name":"a"}],"maxUnavailable":0}`:                           "spec.maxUnavailable: 0 lets nothing through for ever: use before: [approval] to hold a wave",
		`{"waves":[{"name":"a"}],"catchUp":{"maxConcurrent":0}}`:                "spec.catchUp.maxConcurrent: 0",
		`{"waves":[{"name":"a"}],"cluster":{"progressDeadline":"0s"}}`:          "spec.cluster.progressDeadline: must be more than zero",
		`{"waves":[{"name":"a"}],"windows":[{"cron":"* * * * *"}]}`:             "spec.windows[0].duration: is required",
		approval(`"approvers":["user:a"],"minApprovers":2`):                     "spec.waves[0].before[0].approval.minApprovers: 2 can never approve: approvers has 1",
		approval(`"minApprovers":-1`):                                           "spec.waves[0].before[0].approval.minApprovers: -1 is below zero",
		approval(`"approvers":["user:a","user:a"],"minApprovers":2`):            `spec.waves[0].before[0].approval.approvers[1]: "user:a" is named twice`,
		approval(`"approvers":["a"]`):                                           `spec.waves[0].before[0].approval.approvers[0]: "a" is not "user:NAME"`,
		wave(`"before":[{}]`):                                                   "spec.waves[0].before[0]: is 0 gates",
		wave(`"after":[{"soak":{"duration":"1m"}},{"soak":{"duration":"2m"}}]`): `spec.waves[0].after[1]: "soak" is the name of two gates`,
		wave(`"before":[` + fmt.Sprintf(analysis, `,"scope":"Cluster"`) + `]`):  "spec.waves[0].before[0].scope: Cluster is for `after`",
		wave(`"before":[{"webhook":{"url":"http://w","scope":"Cluster"}}]`):     "spec.waves[0].before[0].scope: Cluster is for `after`",
		wave(`"after":[` + strings.Repeat(fmt.Sprintf(analysis, ``)+",", 16) + fmt.Sprintf(analysis, ``) + `]`): "spec.waves[0]: has 17 analyses; 16 are allowed",
		`{"waves":[` + strings.Repeat(`{"name":"a"},`, 64) + `{"name":"a"}]}`:                                   "spec.waves: has 65 waves; 64 are allowed",
	} {
		err := policyOf(t, text).Validate()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.200s: %v, not %s", text, err, want)
		}
	}
}

func TestAPolicyThatIsWrongInMuchIsRefusedInOneOrder(t *testing.T) {
	t.Parallel()
	p := policyOf(t, `{"waves":[{"name":"a","select":{"matchLabels":{"a b":"","c d":"","e f":""}},"before":[{}],"after":[{},
		{"analysis":{"provider":{"type":"x","address":"x"},"count":-1,"failureLimit":-1,"errorLimit":-1,"inconclusiveLimit":-1}}]}]}`)
	first := p.Validate().Error()
	for range 50 {
		if again := p.Validate().Error(); again != first {
			t.Fatalf("%s\nand then\n%s", first, again)
		}
	}
}

func TestAmountsAreRoundedAndBoundedByOneRule(t *testing.T) {
	t.Parallel()
	for n := range 51 {
		for percent := range 101 {
			part := float64(n) * float64(percent) / 100
			low := int(part + 1e-9)
			high := low
			if part-float64(low) > 1e-9 {
				high++
			}
			a := fleet.Percent(percent)
			if a.Of(n) != low || a.RoundedUpOf(n) != high || a.AtLeastOneOf(n) != max(1, low) {
				t.Errorf("%s of %d is %d, %d, %d; not %d, %d, %d", a, n, a.Of(n), a.RoundedUpOf(n), a.AtLeastOneOf(n), low, high, max(1, low))
			}
		}
	}
	if a := fleet.Clusters(9); a.Of(3) != 3 || a.RoundedUpOf(3) != 3 || a.AtLeastOneOf(3) != 3 {
		t.Errorf("9 of 3 is %d, %d, %d", a.Of(3), a.RoundedUpOf(3), a.AtLeastOneOf(3))
	}
}

func TestAWaveBelowALimitCoversAllOfItAndAnotherHalf(t *testing.T) {
	t.Parallel()
	p := policyOf(t, `{"waves":[{"name":"a","limit":2},{"name":"b"}]}`).WithDefaults()
	if a, b := p.Waves[0].MinUpdated.String(), p.Waves[1].MinUpdated.String(); a != "100%" || b != "50%" {
		t.Errorf("%s and %s", a, b)
	}
	if err := p.Validate(); err != nil {
		t.Error(err)
	}
}
