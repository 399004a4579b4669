package session_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"flotilla.dev/flotilla/hub/session"
	"flotilla.dev/flotilla/pkg/fleet"
	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
)

func TestTokenIsGoodForOneKeyAsOftenAsItAsks(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	token := b.token("prod-1", false)
	_, request := newKey(t)
	var ids []string
	for range 2 {
		resp, err := b.dial(nil).Enroll(t.Context(), &spokev1.EnrollRequest{Token: token, CertificateRequest: request})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, resp.GetClusterId())
	}
	if ids[0] != ids[1] {
		t.Errorf("two identities: %v", ids)
	}
	_, other := newKey(t)
	_, err := b.dial(nil).Enroll(t.Context(), &spokev1.EnrollRequest{Token: token, CertificateRequest: other})
	wantCode(t, err, codes.PermissionDenied)
}

// The spoke that is refused may be anybody's: only the hub's own people are told which cluster the token is for.
func TestRefusedTokenIsToldOfItsClusterInTheLogAndOnceAsAnEvent(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer // written before the calls return
	b := newBundle(t, func(c *session.Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	token := b.token("prod-1", false)
	enroll := func() error {
		_, request := newKey(t)
		_, err := b.dial(nil).Enroll(t.Context(), &spokev1.EnrollRequest{Token: token, CertificateRequest: request})
		return err
	}
	if err := enroll(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		err := enroll()
		wantCode(t, err, codes.PermissionDenied)
		if err != nil && strings.Contains(err.Error(), "prod-1") {
			t.Errorf("the spoke is told %q", err)
		}
	}
	if got := strings.Count(log.String(), `msg="enrolment refused" cluster=prod-1 `); got != 2 {
		t.Errorf("the cluster is named %d times, want 2:\n%s", got, &log)
	}
	events, _, err := b.Events(t.Context(), fleet.EventQuery{Kind: "Cluster", Name: "prod-1", Cluster: "prod-1"})
	if err != nil {
		t.Fatal(err)
	}
	if len(events) != 1 || !events[0].Warning || events[0].Reason != "EnrolmentRefused" || !strings.Contains(events[0].Message, "it was used by another spoke") {
		t.Errorf("events %+v, want one warning", events)
	}
}
