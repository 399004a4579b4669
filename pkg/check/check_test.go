package check_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/check"
	"flotilla.dev/flotilla/pkg/fleet"
)

// secrets are those that there are, by name.
type secrets map[string]map[string][]byte

func (s secrets) get(_ context.Context, ref fleet.NamespacedRef) (map[string][]byte, error) {
	data, has := s[ref.Namespace+"/"+ref.Name]
	if !has {
		return nil, fmt.Errorf("Secret: %w", fleet.ErrNotFound)
	}
	return data, nil
}

func ask(t *testing.T, gate fleet.Gate, s secrets) fleet.GateAnswer {
	t.Helper()
	return check.Asker{Client: check.NewClient, Secret: s.get}.Ask(t.Context(), fleet.GateQuestion{
		Gate: gate, App: fleet.Key{Home: "hub", Kind: "Kustomization", Namespace: "shop", Name: "cart"}, Rollout: "ro-1",
		Release: fleet.DigestOf([]byte("release")), Wave: "canary", Phase: "After", Clusters: []string{"eu-1", "eu-2"},
	})
}

func serve(t *testing.T, answer http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	return server.URL
}

// analysis is one of what is below a half.
func analysis(address string) fleet.AnalysisGate {
	return fleet.AnalysisGate{
		Provider: fleet.MetricProvider{Type: "prometheus", Address: address}, Query: "rate", Max: new(0.5), Interval: fleet.Lasting(time.Minute),
	}
}

func vector(values ...string) string {
	series := make([]string, len(values))
	for i, v := range values {
		series[i] = fmt.Sprintf(`{"metric":{"i":"%d"},"value":[1700000000.1,%q]}`, i, v)
	}
	return `{"status":"success","data":{"resultType":"vector","result":[` + strings.Join(series, ",") + `]}}`
}

func TestWhatPrometheusAnswersIsJudged(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status  int
		body    string
		want    fleet.GateResult
		value   float64
		message string
	}{
		"a vector of one":       {200, vector("0.25"), fleet.ResultPass, 0.25, "0.25"},
		"the bound itself":      {200, vector("0.5"), fleet.ResultPass, 0.5, "0.5"},
		"above the bound":       {200, vector("0.75"), fleet.ResultFail, 0.75, "0.75 is above max, 0.5"},
		"below the other bound": {200, vector("-2"), fleet.ResultFail, -2, "-2 is below min, -1"},
		"a scalar":              {200, `{"status":"success","data":{"resultType":"scalar","result":[1700000000,"0.1"]}}`, fleet.ResultPass, 0.1, "0.1"},
		"nothing":               {200, vector(), fleet.ResultNoData, 0, "no data"},
		"no number":             {200, vector("NaN"), fleet.ResultNoData, 0, "no data"},
		"infinite":              {200, vector("+Inf"), fleet.ResultFail, 1.7976931348623157e308, "+Inf is above max"},
		"several":               {200, vector("0.1", "0.2"), fleet.ResultError, 0, "2 results"},
		"a matrix":              {200, `{"status":"success","data":{"resultType":"matrix","result":[]}}`, fleet.ResultError, 0, "a matrix"},
		"a histogram":           {200, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"histogram":[1,{}]}]}}`, fleet.ResultError, 0, "histogram"},
		"a query that is wrong": {400, `{"status":"error","errorType":"bad_data","error":"1:4: parse error"}`, fleet.ResultError, 0, "bad_data: 1:4: parse error"},
		"an error of a proxy":   {502, "<html>internal words</html>", fleet.ResultError, 0, "status 502"},
		"garbage":               {200, "<html>internal words</html>", fleet.ResultError, 0, "not one of Prometheus"},
		"other JSON":            {200, `{"data":[1]}`, fleet.ResultError, 0, "not one of Prometheus"},
		"no value":              {200, `{"status":"success","data":{"resultType":"vector","result":[{"value":[1,2,3]}]}}`, fleet.ResultError, 0, "not one of Prometheus"},
		"a word for a value":    {200, vector("many"), fleet.ResultError, 0, "no number"},
		"more than is read":     {200, strings.Repeat(" ", check.MaxAnswer) + vector("0.25"), fleet.ResultError, 0, "more than 1024 KiB"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			gate := analysis(serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.body)
			}))
			gate.Min = new(-1.0)
			got := ask(t, fleet.Gate{Analysis: &gate}, nil)
			if got.Result != test.want || got.Value != test.value || !strings.Contains(got.Message, test.message) {
				t.Errorf("%+v, want %s of %g: %s", got, test.want, test.value, test.message)
			}
			if strings.Contains(got.Message, "internal words") {
				t.Errorf("a server's words are told: %s", got.Message)
			}
			if _, err := json.Marshal(got); err != nil {
				t.Errorf("the answer cannot be stored: %v", err)
			}
		})
	}
}

func TestAQueryIsSentInTheBodyWithWhatItNames(t *testing.T) {
	t.Parallel()
	var path, query, tenant, authorization string
	gate := analysis(serve(t, func(w http.ResponseWriter, r *http.Request) {
		path, query, tenant, authorization = r.Method+" "+r.URL.Path, r.PostFormValue("query"), r.Header.Get("X-Scope-OrgID"), r.Header.Get("Authorization")
		_, _ = io.WriteString(w, vector("0"))
	}) + "/prom/")
	gate.Provider.Headers = map[string]string{"X-Scope-OrgID": "shop"}
	gate.Query = `sum(rate(bad{cluster=~"{{ .Clusters }}",app="{{.App}}",ns="{{ .Namespace }}"}[{{ .Interval }}]))`
	if got := ask(t, fleet.Gate{Analysis: &gate}, nil); got.Result != fleet.ResultPass {
		t.Fatal(got)
	}
	if want := `sum(rate(bad{cluster=~"eu-1|eu-2",app="cart",ns="shop"}[60s]))`; query != want {
		t.Errorf("query %s, want %s", query, want)
	}
	if path != "POST /prom/api/v1/query" || tenant != "shop" || authorization != "" {
		t.Errorf("%s, tenant %q, authorization %q", path, tenant, authorization)
	}
}

func TestFewSamplesAreNoData(t *testing.T) {
	t.Parallel()
	for samples, want := range map[string]fleet.GateResult{vector("9"): fleet.ResultNoData, vector(): fleet.ResultNoData, vector("10"): fleet.ResultPass} {
		gate := analysis(serve(t, func(w http.ResponseWriter, r *http.Request) {
			answer := vector("0")
			if r.PostFormValue("query") == "total" {
				answer = samples
			}
			_, _ = io.WriteString(w, answer)
		}))
		gate.SamplesQuery, gate.MinSamples = "total", new(10.0)
		if got := ask(t, fleet.Gate{Analysis: &gate}, nil); got.Result != want {
			t.Errorf("%s: %+v, want %s", samples, got, want)
		}
	}
}

func TestCredentialsAreSentAndNeverTold(t *testing.T) {
	t.Parallel()
	ref := &fleet.NamespacedRef{Namespace: "a", Name: "b"}
	for name, test := range map[string]struct {
		secret map[string][]byte
		want   string
		told   string
	}{
		"password": {map[string][]byte{"username": []byte("me"), "password": []byte("s3cret-word")}, "Basic bWU6czNjcmV0LXdvcmQ=", ""},
		"token":    {map[string][]byte{"bearerToken": []byte("s3cret-word\n")}, "Bearer s3cret-word", ""},
		"nothing":  {map[string][]byte{"other": []byte("s3cret-word")}, "", "has none of"},
		"no PEM":   {map[string][]byte{"ca.crt": []byte("s3cret-word")}, "", "no certificate"},
		"absent":   {nil, "", "Secret/a/b is not there"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var sent string
			gate := analysis(serve(t, func(w http.ResponseWriter, r *http.Request) {
				sent = r.Header.Get("Authorization")
				w.WriteHeader(http.StatusUnauthorized)
				_ = json.NewEncoder(w).Encode(map[string]string{"status": "error", "errorType": "denied", "error": "who are you, s3cret-word of " + sent})
			}))
			gate.Provider.SecretRef = ref
			known := secrets{}
			if test.secret != nil {
				known["a/b"] = test.secret
			}
			got := ask(t, fleet.Gate{Analysis: &gate}, known)
			if sent != test.want || got.Result != fleet.ResultError || !strings.Contains(got.Message, test.told) {
				t.Errorf("sent %q, want %q; %+v", sent, test.want, got)
			}
			if strings.Contains(got.Message, "s3cret") || strings.Contains(got.Message, "bWU6") {
				t.Errorf("a secret is told: %s", got.Message)
			}
		})
	}
}

func TestAServerIsTrustedByTheSecretsAuthority(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, vector("0")) }))
	t.Cleanup(server.Close)
	gate := analysis(server.URL)
	if got := ask(t, fleet.Gate{Analysis: &gate}, nil); got.Result != fleet.ResultError || !strings.Contains(got.Message, "authority that is not trusted") {
		t.Errorf("without: %+v", got)
	}
	gate.Provider.SecretRef = &fleet.NamespacedRef{Namespace: "a", Name: "b"}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if got := ask(t, fleet.Gate{Analysis: &gate}, secrets{"a/b": {"ca.crt": ca}}); got.Result != fleet.ResultPass {
		t.Errorf("with: %+v", got)
	}
}

func TestWhatAWebhookAnswersDecides(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status  int
		body    string
		want    fleet.GateResult
		message string
	}{
		"yes":               {200, "x", fleet.ResultPass, ""},
		"not yet":           {202, "", fleet.ResultAgain, "does not know yet"},
		"no":                {403, "the change\nis frozen\x00 until Monday", fleet.ResultFail, "the change is frozen until Monday"},
		"in a hurry":        {429, "internal words", fleet.ResultError, "status 429"},
		"no without words":  {404, "", fleet.ResultFail, "status 404"},
		"no with many":      {400, strings.Repeat("word ", 10000), fleet.ResultFail, "word word"},
		"created":           {201, "", fleet.ResultError, "status 201"},
		"broken":            {500, "internal words", fleet.ResultError, "status 500"},
		"away":              {503, "internal words", fleet.ResultError, "status 503"},
		"more than is read": {200, strings.Repeat("x", check.MaxAnswer+1), fleet.ResultError, "more than"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			gate := fleet.WebhookGate{URL: serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.body)
			})}
			got := ask(t, fleet.Gate{Webhook: &gate}, nil)
			if got.Result != test.want || !strings.Contains(got.Message, test.message) || len(got.Message) > 300 || strings.Contains(got.Message, "internal words") {
				t.Errorf("%+v, want %s: %s", got, test.want, test.message)
			}
		})
	}
}

func TestAWebhookIsToldWhatItIsAboutAndCanTellWhoAsks(t *testing.T) {
	t.Parallel()
	var body []byte
	var header http.Header
	gate := fleet.WebhookGate{Metadata: map[string]string{"team": "cart"}, HMACSecretRef: &fleet.NamespacedRef{Namespace: "a", Name: "b"}}
	gate.URL = serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ = io.ReadAll(r.Body)
		header = r.Header
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, "bad signature "+r.Header.Get("X-Signature")+" by s3cret-word")
	})
	got := ask(t, fleet.Gate{Webhook: &gate}, secrets{"a/b": {"token": []byte("s3cret-word")}})
	mac := hmac.New(sha256.New, []byte("s3cret-word"))
	mac.Write(body)
	if want := "sha256=" + hex.EncodeToString(mac.Sum(nil)); header.Get("X-Signature") != want {
		t.Errorf("signature %q, want %q", header.Get("X-Signature"), want)
	}
	want := `{"rollout":"ro-1","app":"Kustomization/shop/cart","release":"` + fleet.DigestOf([]byte("release")).String() +
		`","wave":"canary","phase":"After","clusters":["eu-1","eu-2"],"metadata":{"team":"cart"}}`
	if string(body) != want || header.Get("Content-Type") != "application/json" {
		t.Errorf("body %s, want %s", body, want)
	}
	if got.Message != "bad signature *** by ***" {
		t.Errorf("told %s", got.Message)
	}
	if got := ask(t, fleet.Gate{Webhook: &gate}, secrets{"a/b": {}}); got.Result != fleet.ResultError || !strings.Contains(got.Message, "has no token") {
		t.Errorf("without a token: %+v", got)
	}
}

func TestNoRedirectIsFollowed(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 307, 308} {
		var visits atomic.Int32
		elsewhere := serve(t, func(http.ResponseWriter, *http.Request) { visits.Add(1) })
		from := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere, status) })
		gate := analysis(from)
		for _, g := range []fleet.Gate{{Webhook: &fleet.WebhookGate{URL: from}}, {Analysis: &gate}} {
			if got := ask(t, g, nil); got.Result != fleet.ResultError || !strings.Contains(got.Message, "redirects") || visits.Load() != 0 {
				t.Errorf("%s, %d: %+v, %d visits", g.Type(), status, got, visits.Load())
			}
		}
	}
}

// gone waits until whoever asks hangs up, which a server notices once it has read the request.
func gone(r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

func TestASlowServerIsGivenUp(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]http.HandlerFunc{
		"before it answers": func(_ http.ResponseWriter, r *http.Request) { gone(r) },
		"in its answer": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "{")
			_ = http.NewResponseController(w).Flush()
			gone(r)
		},
	} {
		gate := fleet.WebhookGate{URL: serve(t, answer), Timeout: fleet.Lasting(100 * time.Millisecond)}
		if got := ask(t, fleet.Gate{Webhook: &gate}, nil); got.Result != fleet.ResultError || !strings.Contains(got.Message, "in time") {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestErrorsHoldNoAddress(t *testing.T) {
	t.Parallel()
	closed := httptest.NewServer(nil)
	closed.Close()
	for _, address := range []string{closed.URL + "/hook/s3cret", "http://nowhere.invalid/s3cret", "http://169.254.169.254/s3cret", "http://[::ffff:169.254.169.254]/s3cret"} {
		got := ask(t, fleet.Gate{Webhook: &fleet.WebhookGate{URL: address, Timeout: fleet.Lasting(5 * time.Second)}}, nil)
		if got.Result != fleet.ResultError || strings.Contains(got.Message, "s3cret") {
			t.Errorf("%s: %+v", address, got)
		}
		if strings.Contains(address, "169") && !strings.Contains(got.Message, "may not be asked") {
			t.Errorf("%s: %+v", address, got)
		}
	}
}

func TestClientsDoNotShareWhomTheyTrust(t *testing.T) {
	t.Parallel()
	if check.NewClient(nil).Transport == check.NewClient(&tls.Config{}).Transport {
		t.Error("they have one transport")
	}
}

func TestAQueryNamesOnlyWhatThereIs(t *testing.T) {
	t.Parallel()
	for query, valid := range map[string]bool{
		"up": true, "{{ .Clusters }}{{.Cluster}} {{ .Interval}}": true, "{{ .Nothing }}": false, "{{ range 1000000000 }}": false, "{{}}": false,
		`{a="b"}`: true,
	} {
		got, err := fleet.ExpandQuery(query, fleet.QueryValues{})
		if (err == nil) != valid {
			t.Errorf("%s: %q, %v", query, got, err)
		}
	}
	if got, err := fleet.ExpandQuery("[{{ .Interval }}]", fleet.QueryValues{Interval: 1500 * time.Millisecond}); got != "[1500ms]" || err != nil {
		t.Errorf("%s, %v", got, err)
	}
	if !slices.Contains(fleet.Asks, fleet.AskGate) {
		t.Error("clusters are not asked")
	}
}

func TestASecretThatIsNotThereForTheAskerIsToldInWordsForPeople(t *testing.T) {
	t.Parallel()
	gate := fleet.WebhookGate{URL: serve(t, func(http.ResponseWriter, *http.Request) {}), HMACSecretRef: &fleet.NamespacedRef{Namespace: "a", Name: "b"}}
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"it is not there":   {fmt.Errorf("Secret: %w", fleet.ErrNotFound), "Secret/a/b is not there"},
		"it may not be":     {fmt.Errorf("Secret: %w", fleet.ErrDenied), "Secret/a/b may not be read"},
		"the database goes": {errors.New("driver's words"), "Secret/a/b cannot be read now"},
		"it has no data":    {nil, "Secret/a/b has no token"},
	} {
		secret := func(context.Context, fleet.NamespacedRef) (map[string][]byte, error) { return nil, test.err }
		got := check.Asker{Client: check.NewClient, Secret: secret}.Ask(t.Context(), fleet.GateQuestion{Gate: fleet.Gate{Webhook: &gate}})
		if got.Result != fleet.ResultError || !strings.HasPrefix(got.Message, test.want) || strings.Contains(got.Message, "driver") {
			t.Errorf("%s: %+v, want %s", name, got, test.want)
		}
	}
	query := analysis(serve(t, func(http.ResponseWriter, *http.Request) { t.Error("it is asked without credentials") }))
	query.Provider.SecretRef = gate.HMACSecretRef
	empty := func(context.Context, fleet.NamespacedRef) (map[string][]byte, error) { return nil, nil }
	got := check.Asker{Client: check.NewClient, Secret: empty}.Ask(t.Context(), fleet.GateQuestion{Gate: fleet.Gate{Analysis: &query}})
	if got.Result != fleet.ResultError || !strings.Contains(got.Message, "Secret/a/b has none of") {
		t.Errorf("a Secret without data: %+v", got)
	}
}
