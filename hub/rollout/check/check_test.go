package check_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/hub/rollout/check"
	pkgcheck "flotilla.dev/flotilla/pkg/check"
	"flotilla.dev/flotilla/pkg/fleet"
)

// base is a check.Store.
type base struct {
	secrets map[string]map[string][]byte
	// asked went to cluster; answer or err comes.
	cluster string
	asked   fleet.Ask
	answer  string
	err     error
	// holds keeps answers back until it is closed; nil: none.
	holds chan struct{}
	// underWay are the questions that are kept.
	underWay atomic.Int32
}

func (b *base) SecretData(_ context.Context, namespace, name string) (map[string][]byte, error) {
	if data, has := b.secrets[namespace+"/"+name]; has {
		return data, nil
	}
	return nil, fmt.Errorf("Secret: %w", fleet.ErrNotFound)
}

func (b *base) Ask(_ context.Context, _ fleet.Caller, cluster string, ask fleet.Ask, _ time.Duration) (fleet.Question, error) {
	if b.holds == nil {
		b.cluster, b.asked = cluster, ask
	}
	return fleet.Question{ID: "q"}, nil
}

func (b *base) Answer(context.Context, fleet.Question) ([]byte, error) {
	if b.holds != nil {
		b.underWay.Add(1)
		<-b.holds
		b.underWay.Add(-1)
	}
	return []byte(b.answer), b.err
}

func newChecker(b *base) *check.Checker {
	return check.New(check.Config{Store: b, Client: pkgcheck.NewClient, Log: slog.New(slog.DiscardHandler)})
}

func TestTheHubAsksByItsOwnSecrets(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != "p" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, `{"status":"success","data":{"resultType":"scalar","result":[1,"3"]}}`)
	}))
	t.Cleanup(server.Close)
	b := &base{secrets: map[string]map[string][]byte{"a/b": {"username": []byte("u"), "password": []byte("p")}}}
	gate := fleet.Gate{Analysis: &fleet.AnalysisGate{
		Provider: fleet.MetricProvider{Address: server.URL, SecretRef: &fleet.NamespacedRef{Namespace: "a", Name: "b"}}, Query: "up", Max: new(2.0),
	}}
	got := newChecker(b).Check(t.Context(), rollout.Check{Spec: gate})
	if got.Result != rollout.ResultFail || got.Value != 3 || b.cluster != "" {
		t.Errorf("%+v", got)
	}
}

func TestAClusterIsAskedWhatTheHubWouldBe(t *testing.T) {
	t.Parallel()
	b := &base{answer: `{"result":"Pass","value":1.5,"message":"1.5"}`}
	asked := rollout.Check{
		Rollout: "ro-1", Cluster: "id", Name: "eu-1", WaveName: "canary", Phase: rollout.WaveAfter, Clusters: []string{"eu-1"},
		Spec: fleet.Gate{Webhook: &fleet.WebhookGate{URL: "http://in-cluster"}}, App: fleet.Key{Home: "hub", Kind: "Kustomization", Namespace: "a", Name: "b"},
	}
	got := newChecker(b).Check(t.Context(), asked)
	if got.Result != rollout.ResultPass || got.Value != 1.5 {
		t.Errorf("%+v", got)
	}
	q := b.asked.Gate
	if b.cluster != "eu-1" || b.asked.What != fleet.AskGate || b.asked.App != asked.App || q == nil || q.Gate.Webhook.URL != "http://in-cluster" ||
		q.Wave != "canary" || q.Phase != "After" || q.Cluster != "eu-1" || q.Rollout != "ro-1" {
		t.Errorf("asked %s: %+v, %+v", b.cluster, b.asked, q)
	}
}

// A spoke answers four questions at once, and people ask it as well.
func TestAClusterIsAskedAFewThingsAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &base{answer: `{"result":"Pass"}`, holds: make(chan struct{})}
		checker := newChecker(b)
		var all sync.WaitGroup
		for range 9 {
			all.Go(func() {
				if got := checker.Check(t.Context(), rollout.Check{Cluster: "id", Name: "eu-1"}); got.Result != rollout.ResultPass {
					t.Errorf("%+v", got)
				}
			})
		}
		synctest.Wait()
		if n := b.underWay.Load(); n != 2 {
			t.Errorf("%d questions are under way", n)
		}
		ended, end := context.WithCancel(t.Context())
		end()
		if got := checker.Check(ended, rollout.Check{Cluster: "id", Name: "eu-1"}); got.Result != rollout.ResultAgain {
			t.Errorf("what was not asked is %+v", got)
		}
		close(b.holds)
		all.Wait()
	})
}

func TestAClusterThatDoesNotAnswerIsAnError(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer string
		err    error
		want   string
	}{
		"an old spoke":      {"", fmt.Errorf("%w: this version of the spoke does not know the question", fleet.ErrConflict), "does not know the question"},
		"a broken store":    {"", errors.New("driver's words"), "eu-1 could not be asked"},
		"garbage":           {"[]", nil, "not understood"},
		"another result":    {`{"result":"Perhaps"}`, nil, "not known to this hub"},
		"very many words":   {"", fmt.Errorf("%w: %s", fleet.ErrConflict, strings.Repeat("word\n", 1e6)), "word word"},
		"many in an answer": {`{"result":"Error","message":"` + strings.Repeat("word ", 1e6) + `"}`, nil, "word word"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := newChecker(&base{answer: test.answer, err: test.err}).Check(t.Context(), rollout.Check{Cluster: "id", Name: "eu-1"})
			if got.Result != rollout.ResultError || !strings.Contains(got.Message, test.want) || strings.Contains(got.Message, "driver") || len(got.Message) > 300 {
				t.Errorf("%s: %.400s", got.Result, got.Message)
			}
		})
	}
}
