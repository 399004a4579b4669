package store

import (
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

var heartbeatApp = fleet.Key{Home: fleet.HubHome, Kind: "Kustomization", Namespace: "apps", Name: "app"}

// seen is what a heartbeat must leave alone.
type seen struct {
	cluster  fleet.ClusterStatus
	instance fleet.Instance
	outbox   int
	issued   int
}

func (s *Store) see(t *testing.T) seen {
	t.Helper()
	statuses, err := s.ClusterStatuses(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	instances, _, err := s.Instances(t.Context(), fleet.InstanceQuery{Kind: "Kustomization"})
	if err != nil || len(instances) != 1 {
		t.Fatalf("instances %v, error %v", instances, err)
	}
	return seen{statuses["prod-1"], instances[0], s.count(t, "outbox"), s.count(t, "issued_state")}
}

// connectedApp is a connected cluster with an App that its spoke has reported.
func connectedApp(t *testing.T, s *Store) (fleet.Session, fleet.ReportBatch) {
	t.Helper()
	object := &resource.Object{APIVersion: fleet.APIVersion, Kind: "Cluster"}
	object.Metadata.Name = "prod-1"
	if _, _, _, err := s.ApplyObject(t.Context(), System, object, fleet.Order{}); err != nil {
		t.Fatal(err)
	}
	statuses, err := s.ClusterStatuses(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	id := statuses["prod-1"].ID
	assigned := fleet.Assignment{App: heartbeatApp, State: fleet.Active, Generation: 1, Pin: 1, Release: fleet.Release{App: heartbeatApp}}
	s.exec(t, `INSERT INTO assignment (cluster, app, state, generation, pin, placement, payload) VALUES ($1, $2, 'Active', 1, 1, 'app', $3)`, id, heartbeatApp.String(), assigned.Encode())
	session, err := s.OpenSession(t.Context(), id, fleet.StateID{}, fleet.ClusterFacts{SpokeVersion: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	_, state, _, err := s.DesiredState(t.Context(), session, fleet.StateID{})
	if err != nil {
		t.Fatal(err)
	}
	batch := fleet.ReportBatch{Session: session.Number, Sequence: 1, Acknowledged: state, Reports: []fleet.Report{{
		App: heartbeatApp, Epoch: 1, Generation: 1, Stage: fleet.StageSettled, Waiting: fleet.WaitingNone, ObservedAt: time.Now(),
		Ready: fleet.Condition{Status: fleet.True}, Healthy: fleet.Condition{Status: fleet.True}}}}
	if err := s.StoreReports(t.Context(), id, batch); err != nil {
		t.Fatal(err)
	}
	return session, batch
}

func (s *Store) woken() bool {
	select {
	case <-s.flush:
		return true
	default:
		return false
	}
}

// A spoke says every 15 seconds that it is there, and after each reconnect everything again.
func TestHeartbeatWithNothingNewMovesLastSeenOnly(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	session, batch := connectedApp(t, s)
	before := s.see(t)
	var horizon fleet.Horizon // of now, whatever else the database server is busy with
	if err := s.pool.QueryRow(t.Context(), `SELECT pg_current_xact_id()::text::bigint`).Scan(&horizon); err != nil {
		t.Fatal(err)
	}
	s.woken()
	heartbeat := fleet.ReportBatch{Session: session.Number, Sequence: 2, Acknowledged: batch.Acknowledged}
	if err := s.StoreReports(t.Context(), session.Cluster, heartbeat); err != nil {
		t.Fatal(err)
	}
	again := batch
	again.Sequence = 3
	if err := s.StoreReports(t.Context(), session.Cluster, again); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := s.DesiredState(t.Context(), session, fleet.StateID{}); err != nil {
		t.Fatal(err)
	}
	if s.woken() {
		t.Error("the outbox is flushed, and nothing is in it")
	}
	after := s.see(t)
	if !after.cluster.LastSeen.After(before.cluster.LastSeen) {
		t.Error("the cluster was not seen")
	}
	switch {
	case after.outbox != before.outbox:
		t.Errorf("%d topics were published", after.outbox-before.outbox)
	case after.cluster.Version != before.cluster.Version || after.instance.Version != before.instance.Version:
		t.Errorf("versions %d and %d became %d and %d", before.cluster.Version, before.instance.Version, after.cluster.Version, after.instance.Version)
	case !after.instance.ReportedAt.Equal(before.instance.ReportedAt):
		t.Error("the report was stored again")
	}
	if apps, _, err := s.AppsChanged(t.Context(), horizon); err != nil || len(apps) > 0 {
		t.Errorf("rollouts look at %v, error %v", apps, err)
	}
}

func TestHeartbeatWithNewsIsTold(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	session, batch := connectedApp(t, s)
	sequence := batch.Sequence
	for name, change := range map[string]func(*fleet.ReportBatch){
		"an acknowledgement": func(b *fleet.ReportBatch) { b.Acknowledged.Version++ },
		"an unknown App":     func(b *fleet.ReportBatch) { b.Unknown = []fleet.Key{heartbeatApp} },
		"a report": func(b *fleet.ReportBatch) {
			report := batch.Reports[0]
			report.Ready.Message = "still"
			b.Reports = []fleet.Report{report}
		},
		"after a silence": func(*fleet.ReportBatch) {
			if err := s.DisconnectSilent(t.Context(), -time.Hour); err != nil {
				t.Fatal(err)
			}
			s.exec(t, `DELETE FROM outbox`)
		},
	} {
		sequence++
		heartbeat := fleet.ReportBatch{Session: session.Number, Sequence: sequence, Acknowledged: batch.Acknowledged}
		change(&heartbeat)
		before := s.see(t)
		if err := s.StoreReports(t.Context(), session.Cluster, heartbeat); err != nil {
			t.Fatal(err)
		}
		after := s.see(t)
		if after.outbox == before.outbox || after.cluster.Version <= before.cluster.Version && after.instance.Version <= before.instance.Version {
			t.Errorf("%s: %d topics published, versions %d and %d", name, after.outbox-before.outbox, after.cluster.Version, after.instance.Version)
		}
	}
}

// What a cluster acknowledges concerns the cluster, not each of its Apps.
func TestAcknowledgementChangesNoInstance(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	session, batch := connectedApp(t, s)
	before := s.see(t)
	batch.Sequence, batch.Reports = 2, nil
	batch.Acknowledged.Version++
	if err := s.StoreReports(t.Context(), session.Cluster, batch); err != nil {
		t.Fatal(err)
	}
	if after := s.see(t); after.instance.Version != before.instance.Version || after.cluster.Version <= before.cluster.Version {
		t.Errorf("versions of cluster and instance: %d and %d, before %d and %d", after.cluster.Version, after.instance.Version, before.cluster.Version, before.instance.Version)
	}
}

// An upstream is polled at its interval, mostly in vain.
func TestLookAtAnUpstreamThatFindsNothingNewChangesNoSource(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	id := fleet.DigestOf([]byte("upstream"))
	s.exec(t, `INSERT INTO object (home, kind, namespace, name) VALUES ('hub', 'GitRepository', 'apps', 'app')`)
	if err := s.BindSource(t.Context(), fleet.Meant{Kind: "GitRepository", Namespace: "apps", Name: "app", Generation: 1, Upstream: id, Remote: id}); err != nil {
		t.Fatal(err)
	}
	look := func() fleet.SourceState {
		t.Helper()
		s.exec(t, `UPDATE upstream SET due_at = now()`)
		if ids, err := s.ClaimUpstreams(t.Context(), 1, nil); err != nil || len(ids) != 1 {
			t.Fatalf("claimed %v, error %v", ids, err)
		}
		found := fleet.Looked{Revision: "main@sha1:1", Tree: fleet.DigestOf([]byte("tree"))}
		if err := s.SaveLook(t.Context(), id, found, time.Minute); err != nil {
			t.Fatal(err)
		}
		states, err := s.SourceStates(t.Context(), "GitRepository")
		if err != nil {
			t.Fatal(err)
		}
		return states["apps/app"]
	}
	first, second := look(), look()
	if !second.CheckedAt.After(first.CheckedAt) || second.Version != first.Version {
		t.Errorf("checked at %s, then at %s; versions %d and %d", first.CheckedAt, second.CheckedAt, first.Version, second.Version)
	}
}
