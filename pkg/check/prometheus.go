package check

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"flotilla.dev/flotilla/pkg/fleet"
)

// analyse makes one measurement.
func (a Asker) analyse(ctx context.Context, q fleet.GateQuestion, gate fleet.AnalysisGate) (answer fleet.GateAnswer, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTime)
	defer cancel()
	p, err := a.prometheus(ctx, gate.Provider)
	if err != nil {
		return answer, err
	}
	defer p.client.CloseIdleConnections()
	values := fleet.QueryValues{Clusters: q.Clusters, Cluster: q.Cluster, Interval: gate.Interval.OrZero(), App: q.App}
	if gate.SamplesQuery != "" && gate.MinSamples != nil {
		samples, has, err := p.query(ctx, gate.SamplesQuery, values)
		switch {
		case err != nil:
			return answer, fmt.Errorf("samplesQuery: %w", err)
		case !has:
			return fleet.GateAnswer{Result: fleet.ResultNoData, Message: "samplesQuery has no data"}, nil
		case samples < *gate.MinSamples:
			return fleet.GateAnswer{Result: fleet.ResultNoData, Message: fmt.Sprintf("%g samples, at least %g are wanted", samples, *gate.MinSamples)}, nil
		}
	}
	value, has, err := p.query(ctx, gate.Query, values)
	if err != nil {
		return answer, err
	}
	if !has {
		return fleet.GateAnswer{Result: fleet.ResultNoData, Message: "the query has no data"}, nil
	}
	return judge(value, gate), nil
}

// judge says whether a value is good. What is infinite is told as the largest number: no other has a form in JSON.
func judge(value float64, gate fleet.AnalysisGate) fleet.GateAnswer {
	answer := fleet.GateAnswer{Result: fleet.ResultPass, Value: max(min(value, math.MaxFloat64), -math.MaxFloat64), Message: fmt.Sprintf("%g", value)}
	switch {
	case gate.Min != nil && value < *gate.Min:
		answer.Result, answer.Message = fleet.ResultFail, fmt.Sprintf("%g is below min, %g", value, *gate.Min)
	case gate.Max != nil && value > *gate.Max:
		answer.Result, answer.Message = fleet.ResultFail, fmt.Sprintf("%g is above max, %g", value, *gate.Max)
	}
	return answer
}

// prometheus is one server, as it is reached.
type prometheus struct {
	client *http.Client
	at     string
	header http.Header
	mask   mask
}

func (a Asker) prometheus(ctx context.Context, provider fleet.MetricProvider) (*prometheus, error) {
	at, err := url.JoinPath(provider.Address, "api/v1/query")
	if err != nil {
		return nil, errors.New("provider.address is no URL")
	}
	p := &prometheus{at: at, header: http.Header{}}
	for name, value := range provider.Headers {
		p.header.Set(name, value)
	}
	secret, err := a.secret(ctx, provider.SecretRef)
	if err != nil {
		return nil, err
	}
	var trust *tls.Config
	if ca := secret["ca.crt"]; len(ca) > 0 {
		if trust, err = trusting(ca); err != nil {
			return nil, err
		}
	}
	username, password, token := string(secret["username"]), string(secret["password"]), strings.TrimSpace(string(secret["bearerToken"]))
	switch {
	case secret == nil:
	case token != "":
		p.header.Set("Authorization", "Bearer "+token)
		p.mask.add(token)
	case username != "" || password != "":
		request := http.Request{Header: p.header}
		request.SetBasicAuth(username, password)
		p.mask.add(password, strings.TrimPrefix(p.header.Get("Authorization"), "Basic "))
	case trust == nil:
		return nil, fmt.Errorf("Secret/%s/%s has none of username and password, bearerToken, and ca.crt", provider.SecretRef.Namespace, provider.SecretRef.Name)
	}
	p.client = a.client(trust)
	return p, nil
}

func trusting(ca []byte) (*tls.Config, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(ca) {
		return nil, errors.New("ca.crt of the Secret holds no certificate in PEM form")
	}
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, nil
}

// reply is what Prometheus answers (HTTP API, instant queries).
type reply struct {
	Status    string `json:"status"`
	ErrorType string `json:"errorType"`
	Error     string `json:"error"`
	Data      struct {
		Type   string          `json:"resultType"`
		Result json.RawMessage `json:"result"`
	} `json:"data"`
}

// query asks for a value; has is false where there is none, or one that is no number. It is sent in the body: that of many
// clusters has no room in an address.
func (p *prometheus) query(ctx context.Context, query string, values fleet.QueryValues) (value float64, has bool, err error) {
	expanded, err := fleet.ExpandQuery(query, values)
	if err != nil {
		return 0, false, err
	}
	header := p.header.Clone()
	header.Set("Content-Type", "application/x-www-form-urlencoded")
	header.Set("Accept", "application/json")
	status, body, err := post(ctx, p.client, p.at, header, []byte(url.Values{"query": {expanded}}.Encode()))
	if err != nil {
		return 0, false, err
	}
	var r reply
	bad := json.Unmarshal(body, &r)
	switch {
	case bad == nil && r.Status == "error":
		return 0, false, fmt.Errorf("Prometheus answers %s: %s", p.mask.clean(r.ErrorType), p.mask.clean(r.Error))
	case status != http.StatusOK:
		return 0, false, fmt.Errorf("the server answers with status %d", status)
	case bad != nil, r.Status != "success":
		return 0, false, errors.New("the server's answer is not one of Prometheus' HTTP API")
	}
	return r.value()
}

// value is the one that there is: a scalar, or a vector of one.
func (r reply) value() (value float64, has bool, err error) {
	sample := r.Data.Result
	switch r.Data.Type {
	case "scalar":
	case "vector":
		var series []struct {
			Value json.RawMessage `json:"value"`
		}
		if json.Unmarshal(r.Data.Result, &series) != nil {
			return 0, false, errors.New("the server's answer is not one of Prometheus' HTTP API")
		}
		if len(series) == 0 {
			return 0, false, nil
		}
		if len(series) > 1 {
			return 0, false, fmt.Errorf("the query has %d results, and one is wanted: put sum(...) or the like around it", len(series))
		}
		if sample = series[0].Value; len(sample) == 0 {
			return 0, false, errors.New("the query has a histogram for a result, and a number is wanted")
		}
	case "matrix", "string":
		return 0, false, fmt.Errorf("the query has a %s for a result, and a number is wanted", r.Data.Type)
	default:
		return 0, false, errors.New("the server's answer is not one of Prometheus' HTTP API")
	}
	var pair []json.RawMessage
	var text string
	if json.Unmarshal(bytes.TrimSpace(sample), &pair) != nil || len(pair) != 2 || json.Unmarshal(pair[1], &text) != nil {
		return 0, false, errors.New("the server's answer is not one of Prometheus' HTTP API")
	}
	value, err = strconv.ParseFloat(text, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, false, errors.New("the server's answer holds a value that is no number")
	}
	return value, !math.IsNaN(value), nil
}
