package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"flotilla.dev/flotilla/test/lab"
)

// judge is a server that gates ask: one path for webhooks, and one as Prometheus has it.
type judge struct {
	*httptest.Server

	mu sync.Mutex
	// errors is the value that queries get, status the code that webhooks do.
	errors float64
	status int
	asked  []string // bodies and queries
}

func newJudge(t *testing.T) *judge {
	j := &judge{status: http.StatusAccepted}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /gate", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // what is lacking shows below
		j.mu.Lock()
		defer j.mu.Unlock()
		j.asked = append(j.asked, string(body))
		w.WriteHeader(j.status)
	})
	mux.HandleFunc("/api/v1/query", func(w http.ResponseWriter, r *http.Request) {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.asked = append(j.asked, r.FormValue("query"))
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"%g"]}]}}`, j.errors)
	})
	j.Server = httptest.NewServer(mux)
	t.Cleanup(j.Close)
	return j
}

func (j *judge) set(status int, errors float64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.status, j.errors = status, errors
}

// questions are those that were asked and hold a text.
func (j *judge) questions(text string) (found []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, q := range j.asked {
		if strings.Contains(q, text) {
			found = append(found, q)
		}
	}
	return found
}

// A webhook that asks for patience is asked again; a query whose value is bad halts the Rollout, and so does a webhook
// that says no. Either way the canary comes back. Each cluster of the wave behind asks for itself.
func TestGatesAskServersAndHaltWhatTheyRefuse(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	judge := newJudge(t)
	policy := strings.NewReplacer("URL", judge.URL).Replace(`
  waves:
    - name: canary
      select: {matchLabels: {tier: canary}}
      after:
        - webhook: {name: load-test, url: URL/gate, poll: 1s, timeout: 5s}
        - analysis:
            name: errors
            provider: {type: prometheus, address: URL}
            query: 'sum(rate(errors{cluster=~"{{ .Clusters }}"}[{{ .Interval }}]))'
            interval: 1s
            count: 2
            max: 0.1
    - name: prod
      maxConcurrent: 100%
      after:
        - webhook: {name: smoke-test, url: URL/gate, scope: Cluster, poll: 1s, timeout: 5s}
        - analysis:
            name: own-errors
            provider: {type: prometheus, address: URL}
            scope: Cluster
            query: 'max(own_errors{cluster="{{ .Cluster }}"})'
            interval: 1s
            max: 0.1
  maxUnavailable: 100%
  cluster: {progressDeadline: 2m}
  onFailure: {action: Rollback}
`)
	a := newRolled(t, fleet, "gates", canaryFirst)
	a.policy("gates", policy)
	canary, prod := fleet.Member("canary-1"), fleet.Member("prod-1")

	good := a.rolls(a.web("1", ""))
	lab.Eventually(t, patience, "the webhook is asked twice", func() error {
		if n := len(judge.questions(`"canary-1"`)); n < 2 {
			return fmt.Errorf("%d times", n)
		}
		return nil
	})
	a.runs(canary, "1")
	a.runs(prod, "first")
	judge.set(http.StatusOK, 0.01)
	a.succeeds(good)
	a.runs(prod, "1")
	var told struct{ Clusters []string }
	if err := json.Unmarshal([]byte(judge.questions(`"canary-1"`)[0]), &told); err != nil || len(told.Clusters) != 1 {
		t.Errorf("the webhook was told of %v, error %v", told, err)
	}
	if n := len(judge.questions(`sum(rate(errors{cluster=~"canary-1"}[`)); n < 2 {
		t.Errorf("the query was made %d times of 2: %q", n, judge.questions("rate"))
	}

	for _, name := range []string{"prod-1", "prod-2"} { // each asks for itself
		asked := judge.questions(fmt.Sprintf("%q", name))
		if len(asked) < 2 || json.Unmarshal([]byte(asked[0]), &told) != nil || len(told.Clusters) != 1 || !strings.HasPrefix(asked[len(asked)-1], "max(own_errors") {
			t.Errorf("%s has asked %q", name, asked)
		}
	}

	judge.set(http.StatusOK, 0.5)
	a.ends(a.rolls(a.web("2", "")), 7, "errors")
	a.becomes(canary, "app", "1")
	a.runs(prod, "1")

	judge.set(http.StatusForbidden, 0)
	a.ends(a.rolls(a.web("3", "")), 7, "load-test")
	a.becomes(canary, "app", "1")
	a.runs(prod, "1")
	if r, err := a.rollout(); err != nil || r.Phase != "RolledBack" || r.Verdict != "Bad" || !strings.Contains(r.Message, "gate load-test failed") {
		t.Errorf("after a webhook that said no: %s, verdict %q, error %v", r, r.Verdict, err)
	}

	judge.set(http.StatusOK, 0)
	a.succeeds(a.rolls(a.web("4", "")))
}
