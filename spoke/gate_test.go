package spoke

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/test/lab"
)

func TestAGateIsAskedInTheClusterByTheClustersSecrets(t *testing.T) {
	t.Parallel()
	api := lab.TestCluster(t)
	namespace := lab.TestNamespace(t, api)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer s3cret-word" || r.PostFormValue("query") != `up{cluster="eu-1"}` {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"status":"error","errorType":"denied","error":"`+r.Header.Get("Authorization")+`"}`)
			return
		}
		_, _ = io.WriteString(w, `{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}`)
	}))
	t.Cleanup(server.Close)
	own := lab.TestNamespace(t, api) // a policy names Secrets wherever they are
	c, err := newCluster(Config{REST: api.REST(), Namespace: own, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	a := &answers{secret: c.secret}
	gate := fleet.Gate{Analysis: &fleet.AnalysisGate{
		Provider: fleet.MetricProvider{Type: "prometheus", Address: server.URL, SecretRef: &fleet.NamespacedRef{Namespace: namespace, Name: "token"}},
		Query:    `up{cluster="{{ .Cluster }}"}`, Min: new(1.0),
	}}
	ask := func(want fleet.GateResult, message string) {
		t.Helper()
		got, err := a.answer(t.Context(), fleet.Ask{What: fleet.AskGate, Gate: &fleet.GateQuestion{Gate: gate, Cluster: "eu-1"}})
		answer, is := got.(fleet.GateAnswer)
		if err != nil || !is || answer.Result != want || !strings.Contains(answer.Message, message) || strings.Contains(answer.Message, "s3cret") {
			t.Errorf("%+v, %v; want %s: %s", got, err, want, message)
		}
	}
	ask(fleet.ResultError, "Secret/"+namespace+"/token is not there")
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "token"}, StringData: map[string]string{"bearerToken": "s3cret-word"}}
	if _, err := c.anySecrets(namespace).Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	ask(fleet.ResultPass, "1")
	gate.Analysis.Query = "up"
	ask(fleet.ResultError, "denied: Bearer ***")
	if _, err := a.answer(t.Context(), fleet.Ask{What: fleet.AskGate}); err == nil {
		t.Error("an empty question is answered")
	}
}
