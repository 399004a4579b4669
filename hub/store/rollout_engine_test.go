package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/hub/rollout/check"
	"flotilla.dev/flotilla/hub/store"
	asking "flotilla.dev/flotilla/pkg/check"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/test/lab"
)

// gated asks a server after the canary, and then each cluster of the rest.
func gated(server string) string {
	return strings.ReplaceAll(`{"maxUnavailable":"100%","waves":[
		{"name":"canary","select":{"matchLabels":{"tier":"canary"}},"after":[{"analysis":{"provider":{"type":"prometheus","address":"SERVER"},"query":"bad{c=~\"{{ .Clusters }}\"}",
			"max":0.5,"count":2,"interval":"1s"}}]},
		{"name":"rest","maxConcurrent":"100%","after":[{"webhook":{"url":"SERVER/hook","scope":"Cluster","poll":"1s"}}]}]}`, "SERVER", server)
}

// run has the engine at work until the test ends.
func (f *rolledOut) run() {
	f.t.Helper()
	log := slog.New(slog.DiscardHandler)
	wake, stop := f.Watch(store.TopicObjects, store.TopicSources, store.TopicApps, store.TopicReports, store.TopicRollouts)
	f.t.Cleanup(stop)
	engine := rollout.New(rollout.Config{
		Store: f.Store, Wake: wake, Log: log, Checker: check.New(check.Config{Store: f.Store, Client: asking.NewClient, Log: log}),
	})
	ctx, cancel := context.WithCancel(f.t.Context())
	done := make(chan struct{}, 2)
	for _, task := range []func(context.Context) error{f.Store.Run, engine.Run} {
		go func() {
			_ = task(ctx)
			done <- struct{}{}
		}()
	}
	f.t.Cleanup(func() {
		cancel()
		<-done
		<-done
	})
}

// answer has the spokes answer what gates ask, and returns who did.
func (f *rolledOut) answer(result fleet.GateResult) (answered []string) {
	f.t.Helper()
	for name, spoke := range f.spokes {
		questions, err := f.TakeQuestions(f.t.Context(), spoke.session.Cluster)
		if err != nil {
			f.t.Fatal(err)
		}
		for _, q := range questions {
			if q.Ask.What != fleet.AskGate || q.Ask.Gate.Cluster != name || !slices.Equal(q.Ask.Gate.Clusters, []string{name}) {
				f.t.Errorf("%s is asked %+v", name, q.Ask)
			}
			answer, _ := json.Marshal(fleet.GateAnswer{Result: result})
			if err := f.StoreAnswer(f.t.Context(), spoke.session.Cluster, q.ID, answer, ""); err != nil {
				f.t.Fatal(err)
			}
			answered = append(answered, name)
		}
	}
	return answered
}

// is waits until the newest Rollout is in a phase, while spokes report and answer.
func (f *rolledOut) is(phase rollout.Phase, release fleet.Release, result fleet.GateResult) (last rollout.Rollout, answered []string) {
	f.t.Helper()
	lab.Eventually(f.t, time.Minute, "the newest Rollout is "+string(phase), func() error {
		f.say()
		answered = append(answered, f.answer(result)...)
		found, err := f.Rollouts(f.t.Context(), store.RolloutQuery{App: appKey, Limit: 1})
		if err != nil || len(found) == 0 {
			return fleet.ErrNotFound
		}
		if last = found[0]; last.Phase != phase || last.Target != release.Digest() {
			return fmt.Errorf("it is %s of %s: %s", last.Phase, last.Target, last.Message)
		}
		return nil
	})
	return last, answered
}

func TestGatesAreAskedByTheHubAndByEachClusterAndDecide(t *testing.T) {
	t.Parallel()
	var queries atomic.Int32
	value := atomic.Pointer[string]{}
	value.Store(new("0.1"))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.PostFormValue("query") == `bad{c=~"canary-1"}` {
			queries.Add(1)
		}
		_, _ = io.WriteString(w, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"`+*value.Load()+`"]}]}}`)
	}))
	t.Cleanup(server.Close)
	f := newRolledOut(t, gated(server.URL), "canary-1", "prod-1", "prod-2")
	f.run()
	one := f.push("one")
	_, answered := f.is(rollout.Succeeded, one, fleet.ResultPass)
	slices.Sort(answered)
	if n := queries.Load(); n != 2 || !slices.Equal(answered, []string{"prod-1", "prod-2"}) {
		t.Errorf("%d queries, and %v answered", n, answered)
	}

	value.Store(new("0.9"))
	two := f.push("two")
	halted, answered := f.is(rollout.Halted, two, fleet.ResultPass)
	if halted.Reason != rollout.ReasonGateFailed || !strings.Contains(halted.Message, "1 value is bad") || len(answered) != 0 {
		t.Errorf("%s: %s; %v answered", halted.Reason, halted.Message, answered)
	}
	for name, release := range f.runs() {
		if (release == two.Digest()) != (name == "canary-1") {
			t.Errorf("%s runs %s", name, release)
		}
	}

	// A person has it ask again once it is repaired: at once, though a command asks nothing.
	value.Store(new("0.2"))
	if _, err := f.Act(t.Context(), "user:admin", appKey, rollout.Resume{Actor: "user:admin", RetryGate: true}); err != nil {
		t.Fatal(err)
	}
	f.is(rollout.Running, two, fleet.ResultPass)
	last, _ := f.is(rollout.Halted, two, fleet.ResultFail)
	if last.Reason != rollout.ReasonFailureBudget {
		t.Errorf("what clusters say ends as %s: %s", last.Reason, last.Message)
	}
}
