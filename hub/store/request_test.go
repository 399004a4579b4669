package store

import (
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
)

func TestRequestOnAnOldRowIsNotForgottenWithIt(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	session, _ := connectedApp(t, s)
	s.exec(t, `INSERT INTO instance_request (cluster, app, requested_at, at) VALUES ($1, $2, 'before', now() - interval '40 days')`, session.Cluster, heartbeatApp.String())
	if _, err := s.RequestInstance(t.Context(), System, heartbeatApp, "prod-1", fleet.LookOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := s.retain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := s.count(t, `instance_request WHERE requested_at <> 'before'`); n != 1 {
		t.Errorf("%d requests are left", n)
	}
}
