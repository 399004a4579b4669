package store

import (
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
)

func TestStateThatIsHeldIsReadOnlyWhenItChanges(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	session, batch := connectedApp(t, s)
	held := batch.Acknowledged
	again := func(want int, changed bool) {
		t.Helper()
		desired, id, _, err := s.DesiredState(t.Context(), session, held)
		if err != nil {
			t.Fatal(err)
		}
		if len(desired) != want || (id != held) != changed {
			t.Errorf("%d Assignments of state %s, held was %s", len(desired), id, held)
		}
		held = id
	}
	again(0, false)
	other := fleet.Assignment{App: fleet.Key{Home: fleet.HubHome, Kind: "Kustomization", Namespace: "apps", Name: "other"}, State: fleet.Active, Generation: 2, Pin: 2}
	s.exec(t, `INSERT INTO assignment (cluster, app, state, generation, pin, placement, payload) VALUES ($1, $2, 'Active', 2, 2, 'app', $3)`,
		session.Cluster, other.App.String(), other.Encode())
	again(2, true)
	again(0, false)
	other.Generation, other.Controls.Suspend = 3, true
	s.exec(t, `UPDATE assignment SET generation = 3, payload = $3 WHERE cluster = $1 AND app = $2`, session.Cluster, other.App.String(), other.Encode())
	again(2, true)
	s.exec(t, `DELETE FROM assignment WHERE cluster = $1 AND app = $2`, session.Cluster, other.App.String())
	again(1, true)
	again(0, false)
}

// As after the migration that brought the fingerprint.
func TestStateWithoutAFingerprintKeepsItsVersion(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	session, batch := connectedApp(t, s)
	s.exec(t, `UPDATE cluster SET assigned = NULL`)
	_, id, _, err := s.DesiredState(t.Context(), session, batch.Acknowledged)
	if err != nil || id != batch.Acknowledged {
		t.Errorf("state %s, error %v, before it was %s", id, err, batch.Acknowledged)
	}
	if n := s.count(t, `cluster WHERE assigned IS NULL`); n != 0 {
		t.Error("the fingerprint is not kept")
	}
}
