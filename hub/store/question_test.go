package store_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
)

// asked has a cluster and a question to it that carries documents.
func asked(t *testing.T, within time.Duration) (*bundle, string, fleet.Question) {
	t.Helper()
	b := newBundle(t)
	b.apply(clusterYAML("prod-1", "prod"))
	statuses, err := b.ClusterStatuses(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	q, err := b.Ask(t.Context(), admin, "prod-1", fleet.Ask{What: fleet.AskDiff, App: appKey, Drift: true, Documents: []byte("canary")}, within)
	if err != nil {
		t.Fatal(err)
	}
	return b, statuses["prod-1"].ID, q
}

func (b *bundle) rows(query string, args ...any) (n int) {
	b.t.Helper()
	conn, err := pgx.Connect(b.t.Context(), b.url)
	if err != nil {
		b.t.Fatal(err)
	}
	defer conn.Close(b.t.Context())
	if err := conn.QueryRow(b.t.Context(), query, args...).Scan(&n); err != nil {
		b.t.Fatal(err)
	}
	return n
}

func TestQuestionKeepsWhatItCarriesSealedAndIsAudited(t *testing.T) {
	t.Parallel()
	b, cluster, q := asked(t, time.Minute)
	if n := b.rows(`SELECT count(*) FROM question WHERE asked LIKE 'asked/%|{%'`); n != 1 {
		t.Error("what is asked is not sealed, or not as what belongs to that row and column")
	}
	taken, err := b.TakeQuestions(t.Context(), cluster)
	if err != nil || len(taken) != 1 {
		t.Fatalf("taken %v, error %v", taken, err)
	}
	got := taken[0]
	if got.ID != q.ID || got.Ask.What != fleet.AskDiff || got.Ask.App != appKey || !got.Ask.Drift || string(got.Ask.Documents) != "canary" {
		t.Errorf("taken is %+v", got)
	}
	if again, err := b.TakeQuestions(t.Context(), cluster); err != nil || len(again) != 0 {
		t.Errorf("taken again: %v, error %v", again, err)
	}
	if err := b.StoreAnswer(t.Context(), cluster, q.ID, []byte("answer"), ""); err != nil {
		t.Fatal(err)
	}
	if n := b.rows(`SELECT count(*) FROM question WHERE asked IS NOT NULL`); n != 0 {
		t.Error("what was asked is kept beside the answer")
	}
	audit, err := b.VerifyAudit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	last := audit[len(audit)-1]
	if last.Principal != admin.Principal || last.Action != "ask" || last.Object != "Cluster/prod-1" ||
		last.Detail != "diff of Kustomization/apps/app, drift only, with documents of the caller" {
		t.Errorf("audited is %+v", last)
	}
	if _, err := b.Ask(t.Context(), admin, "nowhere", fleet.Ask{What: fleet.AskTree, App: appKey}, time.Minute); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("to a cluster that is not there: %v", err)
	}
	if _, err := b.Ask(t.Context(), admin, "prod-1", fleet.Ask{What: fleet.AskDiff, App: appKey, Documents: make([]byte, fleet.MaxAsked+1)}, time.Minute); !errors.Is(err, fleet.ErrInvalid) {
		t.Errorf("with too much: %v", err)
	}
}

func TestQuestionThatNobodyWaitsForIsDeleted(t *testing.T) {
	t.Parallel()
	b, _, q := asked(t, time.Minute)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Answer(ctx, q); err == nil {
		t.Error("an answer without one")
	}
	if n := b.rows(`SELECT count(*) FROM question`); n != 0 {
		t.Errorf("%d questions are left", n)
	}
	b, _, q = asked(t, -time.Second)
	if _, err := b.Answer(t.Context(), q); !errors.Is(err, fleet.ErrConflict) || !strings.Contains(err.Error(), "did not answer in time") {
		t.Errorf("of one that is late: %v", err)
	}
}

func TestQuestionOfAnOlderHubIsOneForWhatIsHeld(t *testing.T) {
	t.Parallel()
	b, cluster, _ := asked(t, time.Minute)
	b.rows(`WITH a AS (UPDATE question SET asked = NULL, ask = 'held-prune' RETURNING 1) SELECT count(*) FROM a`)
	taken, err := b.TakeQuestions(t.Context(), cluster)
	if err != nil || len(taken) != 1 || taken[0].Ask.What != fleet.AskHeldPrune || taken[0].Ask.App != appKey {
		t.Errorf("taken %+v, error %v", taken, err)
	}
}

func TestHistoryTellsWhatBecameOfEachRelease(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(gitYAML)
	b.apply(ksYAML)
	b.apply(clusterYAML("prod-1", "prod"))
	b.apply(placementYAML(everywhere))
	statuses, err := b.ClusterStatuses(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	session, err := b.OpenSession(t.Context(), statuses["prod-1"].ID, fleet.StateID{}, fleet.ClusterFacts{})
	if err != nil {
		t.Fatal(err)
	}
	sequence := uint64(0)
	report := func(release fleet.Release, applied fleet.Digest, ready fleet.Condition) {
		t.Helper()
		sequence++
		r := fleet.Report{App: appKey, Epoch: 1, Generation: sequence, Release: release.Digest(), Applied: applied, Stage: fleet.StageSettled,
			Waiting: fleet.WaitingNone, Ready: ready, Healthy: fleet.Condition{Status: fleet.Unknown}, ObservedAt: time.Now()}
		if err := b.StoreReports(t.Context(), statuses["prod-1"].ID, fleet.ReportBatch{Session: session.Number, Sequence: sequence, Reports: []fleet.Report{r}}); err != nil {
			t.Fatal(err)
		}
	}
	one := b.release("main@sha1:1", "one")
	report(one, fleet.Digest{}, fleet.Condition{Status: fleet.Unknown, Reason: fleet.ReasonProgressing})
	report(one, one.Digest(), fleet.Condition{Status: fleet.True, Reason: fleet.ReasonSucceeded})
	two := b.release("main@sha1:2", "two")
	report(two, one.Digest(), fleet.Condition{Status: fleet.False, Reason: fleet.ReasonHealthCheckFailed, Message: "it crashes"})
	b.release("main@sha1:3", "one") // a revert: the older Release again

	instance, err := b.InstanceHistory(t.Context(), appKey, "prod-1")
	if err != nil || len(instance) != 2 {
		t.Fatalf("history %+v, error %v", instance, err)
	}
	if e := instance[0]; e.Release != two.Digest() || e.Revision != "main@sha1:2" || e.Ready.Message != "it crashes" || e.Clusters != 0 {
		t.Errorf("the newest: %+v", e)
	}
	if e := instance[1]; e.Release != one.Digest() || e.Revision != "main@sha1:1" || e.Ready.Reason != fleet.ReasonSucceeded || e.Clusters != 1 || e.LastAt.Before(e.FirstAt) {
		t.Errorf("the one before: %+v", e)
	}
	if err := b.NotReleased(t.Context(), appKey, fleet.BuildFailure{Generation: 1, Revision: "main@sha1:4", Reason: fleet.ReasonBuildFailed, Message: "no such file"}); err != nil {
		t.Fatal(err)
	}
	app, err := b.AppHistory(t.Context(), appKey)
	if err != nil || len(app) != 4 {
		t.Fatalf("history %+v, error %v", app, err)
	}
	for i, want := range []struct {
		revision fleet.Revision
		release  fleet.Digest
		clusters int
		current  bool
	}{{"main@sha1:4", fleet.Digest{}, 0, false}, {"main@sha1:3", one.Digest(), 1, true}, {"main@sha1:2", two.Digest(), 0, false}, {"main@sha1:1", one.Digest(), 1, false}} {
		if e := app[i]; e.Revision != want.revision || e.Release != want.release || e.Clusters != want.clusters || e.Current != want.current {
			t.Errorf("%d: %+v", i, e)
		}
	}
	if app[0].Ready.Message != "no such file" || app[0].Ready.Status != fleet.False {
		t.Errorf("the failed one: %+v", app[0])
	}
	if entries, err := b.InstanceHistory(t.Context(), appKey, "nowhere"); err != nil || len(entries) != 0 {
		t.Errorf("in no cluster: %+v, %v", entries, err)
	}
}
