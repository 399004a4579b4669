package sdk_test

import (
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/helm/job"
	"flotilla.dev/flotilla/spoke/helm/sdk"
)

const canary = "c4n4ry-value"

func TestAFailureNamesFileLineAndReason(t *testing.T) {
	b := newBundle(t)
	for name, tc := range map[string]struct {
		template string
		want     []string
	}{
		"syntax":         {"a: {{ .Values.a }\n", []string{"app/templates/bad.yaml:1", "unexpected"}},
		"function":       {"a: {{ nofunction }}\n", []string{"app/templates/bad.yaml:1", `"nofunction" not defined`}},
		"nil":            {"a: b\n---\na: {{ .Values.none.deeper }}\n", []string{"app/templates/bad.yaml:3", "nil pointer evaluating interface {}.deeper"}},
		"fail":           {`{{ fail (printf "no %s here" .Values.a) }}`, []string{"app/templates/bad.yaml:1", "no default here"}},
		"required":       {`{{ required "say what a is" .Values.none }}`, []string{"app/templates/bad.yaml:1", "say what a is"}},
		"of the cluster": {`{{ if not (.Capabilities.APIVersions.Has "none/v1") }}{{ fail "none is missing" }}{{ end }}`, []string{"none is missing"}},
		"no YAML":        {"a: [\n", []string{"app/templates/bad.yaml", "did not find expected node content"}},
		"no kind":        {"apiVersion: v1\nkind: Nothing\nmetadata: {name: a}\n", []string{`no matches for kind "Nothing"`}},
		"not a good one": {configMap("Bad_Name", "a: b"), []string{"Bad_Name", "RFC 1123"}},
	} {
		b.chart("1.0.0", map[string]string{"templates/bad.yaml": tc.template})
		answer := b.do(job.Request{Action: job.Install})
		f := b.failed(answer, tc.want...)
		if f.Reason != "InstallFailed" || f.Transient || f.Began != (name == "not a good one") || f.Invalid != (name != "no kind" && name != "of the cluster") {
			t.Errorf("%s: %+v", name, f)
		}
		if f.Began {
			b.done(job.Uninstall)
		}
	}
}

// What can go wrong with a value of a Secret in it, each in its own way; none shows it, and all say where it was.
func TestNoFailureShowsAValueOfASecret(t *testing.T) {
	b := newBundle(t)
	b.putSecret("db", map[string]string{"values.yaml": "password: " + canary + "\nnested: {list: [" + canary + "]}\nnumber: 31415926\n"})
	b.job.Plan.Spec.ValuesFrom = []flux.HelmValuesReference{{Kind: "Secret", Name: "db"}}
	schema := func(text string) map[string]string {
		return map[string]string{"values.schema.json": text, "templates/bad.yaml": configMap("bad", "a: b")}
	}
	template := func(text string) map[string]string { return map[string]string{"templates/bad.yaml": text} }
	for name, tc := range map[string]struct {
		files map[string]string
		spec  func(*flux.HelmReleaseSpec)
		want  []string
	}{
		"fail":                  {template("\n{{ fail (printf \"no %s\" .Values.password) }}"), nil, []string{"app/templates/bad.yaml:2", "the template says why"}},
		"fail with its words":   {template(`{{ fail "the words of the chart" }}`), nil, []string{"app/templates/bad.yaml:1", "the words of the chart"}},
		"required":              {template(`{{ required "say what it is" .Values.none }}`), nil, []string{"say what it is"}},
		"type":                  {template(`{{ add1 .Values.password }}{{ range .Values.password }}{{ end }}`), nil, []string{"app/templates/bad.yaml:1"}},
		"parse":                 {template(`{{ tpl (printf "{{ %s" .Values.password) . }}`), nil, []string{"app/templates/bad.yaml:1", "error calling tpl"}},
		"date":                  {template(`{{ mustToDate "2006" .Values.password }}`), nil, []string{"app/templates/bad.yaml:1", "error calling mustToDate"}},
		"no YAML":               {template("a: *{{ .Values.password }}\n"), nil, []string{"app/templates/bad.yaml"}},
		"no mapping":            {template("{{ .Values.password }}\n"), nil, []string{"app/templates/bad.yaml"}},
		"kind":                  {template("apiVersion: v1\nkind: {{ .Values.password }}\nmetadata: {name: a}\n"), nil, []string{"no matches for kind"}},
		"name":                  {template(configMap("{{ .Values.password }}_", "a: b")), nil, []string{"Invalid", "metadata.name"}},
		"value":                 {template("apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {type: {{ .Values.password }}, ports: [{port: 1, name: {{ .Values.password }}_}]}\n"), nil, []string{`Service "s"`, "spec.ports[0].name", "spec.type"}},
		"field":                 {template(configMap("a", "a: b") + "{{ .Values.password }}: x\n"), nil, []string{"field not declared in schema"}},
		"type of a field":       {template("apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: {{ .Values.password }}}\n"), nil, []string{".spec.ports: expected list"}},
		"encoded":               {template(configMap("{{ .Values.password | b64enc }}_", "a: b")), nil, nil},
		"schema, const":         {schema(`{"properties": {"password": {"const": "other"}}}`), nil, []string{"at '/password'"}},
		"schema, pattern":       {schema(`{"properties": {"password": {"pattern": "^x"}}}`), nil, []string{"at '/password'"}},
		"schema, number":        {schema(`{"properties": {"number": {"maximum": 3}}}`), nil, []string{"at '/number'"}},
		"schema, nested":        {schema(`{"properties": {"nested": {"properties": {"list": {"items": {"enum": ["a"]}}}}}}`), nil, []string{"at '/nested/list/0'"}},
		"schema, above":         {schema(`{"properties": {"nested": {"enum": [1]}}}`), nil, []string{"at '/nested'"}},
		"schema, of open value": {schema(`{"properties": {"a": {"type": "integer"}}}`), nil, []string{"at '/a': got string, want integer"}},
		"post-renderer": {template(configMap("a", "p: {{ .Values.password }}")), func(s *flux.HelmReleaseSpec) {
			s.PostRenderers = []flux.HelmPostRenderer{patched("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: [" + "x]\n"), patched("[{op: test}]")}
		}, []string{"spec.postRenderers"}},
		"post-rendered twice": {template(configMap("{{ .Values.password }}", "a: b") + "---\n" + configMap("{{ .Values.password }}", "a: b")), nil, nil},
		"hook":                {template(pod("{{ .Values.password }}", hookOf("pre-install")+", demo/fail: crash")), nil, []string{"pre-install", "is Failed"}},
		"wait":                {template(deployment("{{ .Values.password }}", "demo/fail: image")), nil, []string{"is InProgress"}},
	} {
		b.chart("1.0.0", tc.files)
		b.job.Plan.Spec.PostRenderers = nil
		if tc.spec != nil {
			tc.spec(&b.job.Plan.Spec)
		}
		b.job.Controls.Install = 2e9
		answer := b.do(job.Request{Action: job.Install})
		if answer.Failure == nil {
			t.Errorf("%s: it did not fail", name)
			b.done(job.Uninstall)
			continue
		}
		f := answer.Failure
		for _, secret := range []string{canary, "YzRuNHJ5LXZhbHVl", "31415926"} {
			if strings.Contains(f.Message, secret) {
				t.Errorf("%s: it shows the value: %s", name, f.Message)
			}
		}
		for _, want := range tc.want {
			if !strings.Contains(f.Message, want) {
				t.Errorf("%s: %q is not in: %s", name, want, f.Message)
			}
		}
		if f.Began {
			b.done(job.Uninstall)
		}
	}
}

// A template that looks Secrets up may say what is in them; as long as it has not, nothing is hidden.
func TestNoFailureShowsWhatATemplateLookedUp(t *testing.T) {
	b := newBundle(t)
	b.putSecret("found", map[string]string{"key": canary})
	found := `index (lookup "v1" "Secret" "` + b.namespace + `" "found").data "key" | b64dec`
	pieces := `tpl (printf "{{ index (%s%s \"v1\" \"Secret\" \"` + b.namespace + `\" \"found\").data \"key\" | b64dec }}" "look" "up") .`
	for _, text := range []string{found, pieces} {
		b.chart("1.0.0", map[string]string{"templates/bad.yaml": `{{ fail (printf "it is %s" (` + text + `)) }}`})
		f := b.fails(job.Install, "app/templates/bad.yaml:1", "the template says why")
		if strings.Contains(f.Message, canary) || f.Invalid {
			t.Errorf("it shows the value, or cannot be another one tomorrow: %+v", f)
		}
	}
	b.chart("1.0.0", map[string]string{"templates/bad.yaml": `{{ fail (printf "it is %s" .Values.a) }}{{ ` + found + ` }}`})
	if f := b.fails(job.Install, "it is default"); !f.Invalid {
		t.Errorf("it is %+v", f)
	}
}

func TestAPanicOfHelmIsItsActionsFailureAlone(t *testing.T) {
	b := newBundle(t).secretly()
	s := b.session()
	f := sdk.FailureOf(s, job.Request{Action: job.Upgrade}, func() error { panic("of " + canary) })
	if want := (job.Failure{Reason: "UpgradeFailed", Message: "Helm panicked at this chart with these values; another version of the chart may do better", Invalid: true}); *f != want {
		t.Errorf("it is %+v, want %+v", *f, want)
	}
	if answer := s.Do(t.Context(), job.Request{Action: job.Install}); answer.Failure != nil {
		t.Errorf("the next action: %+v", answer.Failure)
	}
}

func TestComplaintsOfASchemaStandInOneOrderWithTheirDetail(t *testing.T) {
	t.Parallel()
	text := "values don't meet it:\napp:\n- at '/b': none of\n  - at '/b': x\n  - at '/b': a\n- at '/a': y\n\nsub:\n- at '/d': z\n- at '/c': z"
	want := "values don't meet it:\napp:\n- at '/a': y\n- at '/b': none of\n  - at '/b': x\n  - at '/b': a\n\nsub:\n- at '/c': z\n- at '/d': z"
	if got := sdk.InOrder(text); got != want {
		t.Errorf("it is\n%s", got)
	}
}
