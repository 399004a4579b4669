package spoke

import (
	"errors"
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/helm"
	"flotilla.dev/flotilla/spoke/worker"
)

func TestAnAppOfAnUnknownKindIsRefusedAndHurtsNoOther(t *testing.T) {
	t.Parallel()
	e := engines{}
	app := fleet.Key{Home: fleet.HubHome, Kind: "Widget", Namespace: "apps", Name: "a"}
	if err := e.Deploy(t.Context(), worker.Target{App: app}); !errors.Is(err, fleet.ErrInvalid) {
		t.Errorf("error %v", err)
	}
	e.SetSuspended(app, true)
	if s := e.Status(app); s.Healthy.Status != "" || e.AppliedBlobs(app) != nil {
		t.Errorf("status is %+v", s)
	}
}

func TestWhatHelmSaysOfAFailureReachesTheWorker(t *testing.T) {
	t.Parallel()
	said := &helm.Failure{Err: errors.New("no"), Reason: "UpgradeFailed", Terminal: true, RetryAfter: time.Minute}
	var got *worker.Failure
	if err := explainHelm(said); !errors.As(err, &got) || got.Reason != "UpgradeFailed" || !got.Terminal || got.RetryAfter != time.Minute || got.Error() != "no" {
		t.Errorf("it is %+v", got)
	}
	if err := explainHelm(nil); err != nil {
		t.Errorf("no failure is %v", err)
	}
}
