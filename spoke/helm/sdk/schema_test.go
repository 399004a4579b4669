package sdk_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/helm/job"
)

// A schema is the chart's, which may be anybody's: what is outside of it stays out of its reach.
func TestASchemaReachesNoFileAndNoNetwork(t *testing.T) {
	b := newBundle(t)
	var called atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		called.Add(1)
		_, _ = w.Write([]byte("{}"))
	}))
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "schema.json")
	if err := os.WriteFile(file, []byte(`{"type": "`+canary+`"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ schema, want string }{
		"a file":          {`{"$ref": "file://` + file + `"}`, "refers to file://" + file},
		"below a key":     {`{"properties": {"a": {"$ref": "file://` + file + `"}}}`, "refers to file://" + file},
		"a relative file": {`{"$ref": ".` + file + `"}`, "refers to file://" + file},
		"an address":      {`{"allOf": [{"$ref": "` + server.URL + `/x"}]}`, "refers to " + server.URL + "/x"},
		"an id":           {`{"$id": "` + server.URL + `/y", "$ref": "x"}`, "refers to " + server.URL + "/x"},
		"a schema of it":  {`{"$schema": "` + server.URL + `/x"}`, "refers to " + server.URL + "/x"},
		"dynamic":         {`{"$dynamicRef": "` + server.URL + `/x"}`, "refers to " + server.URL + "/x"},
		"of draft 4":      {`{"$schema": "http://json-schema.org/draft-04/schema#", "id": "` + server.URL + `/y", "properties": {"a": {"$ref": "x"}}}`, "refers to " + server.URL + "/x"},
		"beside a fault":  {`{"type": "none", "properties": {"a": {"$ref": "` + server.URL + `/x"}}}`, "is no schema"},
	} {
		b.chart("1.0.0", map[string]string{"values.schema.json": tc.schema})
		for _, action := range []job.Action{job.Render, job.Install} {
			f := b.fails(action, tc.want, "the values.schema.json of chart app ")
			if !f.Invalid || f.Began || strings.Contains(f.Message, canary) {
				t.Errorf("%s: %+v", name, f)
			}
		}
	}
	b.chart("1.0.0", nil)
	b.done(job.Install)
	outside := map[string]string{
		"Chart.yaml":                      "apiVersion: v2\nname: app\nversion: 2.0.0\ndependencies: [{name: below, version: 1.0.0, condition: below.enabled}]\n",
		"charts/below/Chart.yaml":         "apiVersion: v2\nname: below\nversion: 1.0.0\n",
		"charts/below/values.yaml":        "enabled: true\n",
		"charts/below/templates/a.yaml":   configMap("below", "a: b"),
		"charts/below/values.schema.json": `{"$ref": "` + server.URL + `/x"}`,
	}
	b.chart("2.0.0", outside)
	b.fails(job.Upgrade, "refers to "+server.URL+"/x", "of chart app/charts/below", "disableSchemaValidation")
	b.values(`{"below": {"enabled": false}}`)
	b.done(job.Upgrade)
	b.values(`{}`)
	b.job.Plan.Spec.Upgrade = &flux.HelmUpgrade{DisableSchemaValidation: true}
	b.done(job.Upgrade)
	if n := called.Load(); n != 0 {
		t.Errorf("the server was called %d times", n)
	}
}

func TestASchemaMayReferToItself(t *testing.T) {
	b := newBundle(t)
	b.chart("1.0.0", map[string]string{"values.schema.json": `{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://example.com/app.json",
		"properties": {"a": {"$ref": "#/$defs/text"}, "b": {"$ref": "other.json"}, "c": {"$ref": "http://json-schema.org/draft-07/schema#"}, "d": {"$ref": "urn:any:thing"}},
		"$defs": {"text": {"type": "string"}, "other": {"$id": "other.json", "type": "integer"}}}`})
	b.values(`{"b": 1, "d": 1}`)
	b.done(job.Install)
	b.values(`{"a": 1, "b": "x"}`)
	b.fails(job.Upgrade, "at '/a'", "at '/b'")
}

// Else each try would fail in other words, and be told anew.
func TestWhatASchemaRefusesIsToldInOneOrder(t *testing.T) {
	b := newBundle(t)
	b.chart("1.0.0", map[string]string{"values.schema.json": `{"properties": {"a": {"type": "integer"}, "b": {"type": "integer"}, "c": {"type": "integer"}, "d": {"type": "integer"}}}`})
	b.values(`{"a": "x", "b": "x", "c": "x", "d": "x"}`)
	want := "- at '/a': got string, want integer\n- at '/b': got string, want integer\n- at '/c': got string, want integer\n- at '/d': got string, want integer"
	for range 5 {
		b.fails(job.Install, want)
	}
}
