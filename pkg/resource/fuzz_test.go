package resource_test

import (
	"errors"
	"reflect"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
	"flotilla.dev/flotilla/pkg/schedule"
)

const wholePolicy = `{"apiVersion":"fleet.flotilla.dev/v1alpha1","kind":"RolloutPolicy","metadata":{"name":"p"},"spec":{
	"waves":[{"name":"a","select":{"matchLabels":{"tier":"canary"}},"limit":"10%","order":{"by":"Label","key":"n"},"required":true,"maxConcurrent":"25%","maxFailures":1,"minUpdated":"90%",
		"coverageTimeout":"1h","before":[{"approval":{"approvers":["user:a","group:b"],"minApprovers":2,"timeout":"1h","onTimeout":"Halt"}}],
		"after":[{"soak":{"duration":"10m"}},{"analysis":{"provider":{"type":"prometheus","address":"https://x","secretRef":{"namespace":"a","name":"b"}},"scope":"Cluster","query":"up{cluster=~\"{{ .Clusters }}\"}",
				"interval":"1m","count":3,"min":0,"max":0.5,"failureLimit":1,"onNoData":"Pass"}},
			{"webhook":{"url":"https://x/y","timeout":"10s"}}]},{"name":"rest"}],
	"maxUnavailable":"10%","cluster":{"progressDeadline":"10m","minReady":"30s","retries":1,"regressionWindow":"2m","unreachableTimeout":"10m","onLost":"Defer","preexistingUnhealthy":"Block"},
	"unmatched":"Exclude","onNewRevision":"Supersede","onFailure":{"action":"Rollback","scope":"Wave","maxConcurrent":"50%","allowUninstall":true},"onInconclusive":"Halt",
	"windows":[{"cron":"0 8 * * mon-fri","timeZone":"Europe/Berlin","duration":"8h"}],"autoStart":false,"catchUp":{"maxConcurrent":3}}}`

// Nothing that is declared makes the decoder panic, and a RolloutPolicy that it takes is one that the engine can go by:
// its windows can be read, and it is as good with its defaults as without.
func FuzzDecode(f *testing.F) {
	if _, err := resource.Decode([]byte(wholePolicy)); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(wholePolicy))
	f.Add([]byte(`{"apiVersion":"fleet.flotilla.dev/v1alpha1","kind":"Placement","metadata":{"name":"a","namespace":"b"},"spec":{"apps":[{"kind":"Kustomization","name":"a"}],"clusters":{"selector":{"matchExpressions":[{"key":"a","operator":"In","values":["b"]}]}},"onUnmatch":"Prune"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := resource.Decode(data)
		if err != nil {
			if !errors.Is(err, fleet.ErrInvalid) {
				t.Fatalf("an error of another kind: %v", err)
			}
			return
		}
		if o.Kind != resource.RolloutPolicy.Name {
			return
		}
		policy, err := resource.Spec[fleet.RolloutPolicy](o)
		if err != nil {
			t.Fatalf("it is taken, and cannot be read: %v", err)
		}
		full := policy.WithDefaults()
		_, err = schedule.Parse(full.Windows)
		if err := errors.Join(err, full.Validate()); err != nil {
			t.Fatalf("it is taken, and is not valid: %v", err)
		}
		if again := full.WithDefaults(); !reflect.DeepEqual(again, full) {
			t.Fatalf("its defaults have defaults: %+v, %+v", full, again)
		}
	})
}
