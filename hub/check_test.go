package hub

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/fleet"
)

// hubSecrets is a check.Store that has Secrets and no clusters.
type hubSecrets map[string][]byte

func (s hubSecrets) SecretData(context.Context, string, string) (map[string][]byte, error) {
	return s, nil
}

func (s hubSecrets) Ask(context.Context, fleet.Caller, string, fleet.Ask, time.Duration) (fleet.Question, error) {
	return fleet.Question{}, fmt.Errorf("a cluster: %w", fleet.ErrNotFound)
}

func (s hubSecrets) Answer(context.Context, fleet.Question) ([]byte, error) { return nil, nil }

func newCheckNetwork(addresses source.Addresses) *source.Network {
	return source.NewNetwork(source.NetworkConfig{Addresses: addresses, Metrics: source.NewMetrics(prometheus.NewRegistry())})
}

func TestGatesReachOnlyWhatSourcesMay(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(server.Close)
	gate := rollout.Check{Spec: fleet.Gate{Webhook: &fleet.WebhookGate{URL: server.URL}}}
	for _, test := range []struct {
		addresses source.Addresses
		want      rollout.Result
	}{{source.Addresses{}, rollout.ResultPass}, {source.Addresses{DenyPrivate: true}, rollout.ResultError}} {
		got := checker(hubSecrets{}, newCheckNetwork(test.addresses), slog.New(slog.DiscardHandler)).Check(t.Context(), gate)
		if got.Result != test.want || test.want == rollout.ResultError && !strings.Contains(got.Message, "127.0.0.1 is not allowed") {
			t.Errorf("%+v: %+v", test.addresses, got)
		}
	}
}

func TestGatesUnderstandWhatComesThroughTheHubsNetwork(t *testing.T) {
	t.Parallel()
	const good = `{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}`
	for name, test := range map[string]struct {
		answer  http.HandlerFunc
		want    rollout.Result
		message string
	}{
		"good": {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, good) }, rollout.ResultPass, "1"},
		"an error": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(400)
			_, _ = io.WriteString(w, `{"status":"error","errorType":"bad_data","error":"parse error"}`)
		}, rollout.ResultError, "bad_data: parse error"},
		"away": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, rollout.ResultError, "status 503"},
		"huge": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat(" ", 8<<20)+good)
		}, rollout.ResultError, "more than 1024 KiB"},
		"elsewhere": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/other", http.StatusFound) }, rollout.ResultError, "redirects"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewTLSServer(test.answer)
			t.Cleanup(server.Close)
			ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
			gate := fleet.AnalysisGate{Provider: fleet.MetricProvider{Address: server.URL, SecretRef: &fleet.NamespacedRef{}}, Query: "up", Min: new(1.0)}
			got := checker(hubSecrets{"ca.crt": ca}, newCheckNetwork(source.Addresses{}), slog.New(slog.DiscardHandler)).
				Check(t.Context(), rollout.Check{Spec: fleet.Gate{Analysis: &gate}})
			if got.Result != test.want || !strings.Contains(got.Message, test.message) {
				t.Errorf("%+v, want %s: %s", got, test.want, test.message)
			}
		})
	}
}
