package sdk_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/helm/job"
)

// described are the descriptions of the versions that Helm has stored.
func (b *bundle) described() string {
	b.Helper()
	list, err := b.typed.CoreV1().Secrets(b.namespace).List(b.Context(), metav1.ListOptions{LabelSelector: "owner=helm"})
	if err != nil {
		b.Fatal(err)
	}
	var out []string
	for _, secret := range list.Items {
		packed, err := base64.StdEncoding.DecodeString(string(secret.Data["release"]))
		if err != nil {
			b.Fatal(err)
		}
		reader, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			b.Fatal(err)
		}
		text, err := io.ReadAll(reader)
		if err != nil {
			b.Fatal(err)
		}
		var version struct{ Info struct{ Description string } }
		if err := json.Unmarshal(text, &version); err != nil {
			b.Fatal(err)
		}
		out = append(out, version.Info.Description)
	}
	return strings.Join(out, "\n")
}

// quoting is a chart whose objects the API server refuses with the value in its words.
const quoting = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {type: {{ .Values.password | quote }}, ports: [{port: 1}]}\n"

func (b *bundle) secretly() *bundle {
	b.Helper()
	b.putSecret("db", map[string]string{"values.yaml": "password: " + canary + "\n"})
	b.job.Plan.Spec.ValuesFrom = []flux.HelmValuesReference{{Kind: "Secret", Name: "db"}}
	return b
}

func TestWhatHelmStoresOfAFailureHasNoValueOfASecret(t *testing.T) {
	b := newBundle(t).secretly()
	check := func(action job.Action, parts ...string) {
		t.Helper()
		f := b.fails(action)
		text := b.described()
		if strings.Contains(text, canary) || strings.Contains(f.Message, canary) {
			t.Errorf("%s: described is %s, failed %s", action, text, f.Message)
		}
		for _, part := range parts {
			if !strings.Contains(text, part) {
				t.Errorf("%s: %q is not in: %s", action, part, text)
			}
		}
	}
	b.chart("1.0.0", map[string]string{"templates/bad.yaml": quoting})
	check(job.Install, `Release "app" failed: `, "its own words are not shown")
	b.done(job.Uninstall)
	b.chart("1.0.0", nil)
	b.done(job.Install)
	b.chart("2.0.0", map[string]string{"templates/bad.yaml": quoting})
	check(job.Upgrade, `Upgrade "app" failed: `, `Service "s"`, "spec.type", "Install complete")

	b.job.Plan.Spec.ValuesFrom = nil // what may be shown is, as it is
	b.values(`{"password": "plain"}`)
	b.fails(job.Upgrade)
	if text := b.described(); !strings.Contains(text, `"plain"`) {
		t.Errorf("described is %s", text)
	}
}

// What is wanted now has no value of a Secret, or is not known at all; what is stored has.
func TestNoFailureShowsAValueOfASecretThatIsInAVersionBefore(t *testing.T) {
	hook := func(event string) map[string]string {
		return map[string]string{"templates/hook.yaml": strings.Replace(quoting, "{name: s}", "{name: s, annotations: {"+hookOf(event)+"}}", 1)}
	}
	for name, tc := range map[string]struct {
		files   map[string]string
		request job.Request
		plain   bool // is what is said of it; a version that is rolled back to is not the newest
	}{
		"uninstall": {hook("pre-delete"), job.Request{Action: job.Uninstall}, false},
		"rollback":  {hook("pre-rollback"), job.Request{Action: job.Rollback, Version: 1}, true},
		"test":      {hook("test"), job.Request{Action: job.Test}, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBundle(t).secretly()
			b.chart("1.0.0", tc.files)
			b.done(job.Install)
			b.job.Plan.Spec.ValuesFrom = nil
			if tc.request.Action == job.Rollback {
				b.chart("2.0.0", nil)
				b.done(job.Upgrade)
			}
			b.archive, b.job.Plain = nil, tc.plain
			f := b.failed(b.do(tc.request), `Service "s"`, "spec.type")
			if strings.Contains(f.Message, canary) || strings.Contains(b.described(), canary) {
				t.Errorf("it shows the value: %s; %s", f.Message, b.described())
			}
		})
	}
}

func TestAWaitForWhatWasStoredSaysNothingThatItsObjectsSay(t *testing.T) {
	b := newBundle(t)
	b.chart("1.0.0", map[string]string{"templates/hook.yaml": pod("hook", hookOf("pre-delete")+", demo/fail: crash")})
	b.done(job.Install)
	b.job.Controls.Uninstall = 5 * time.Second
	open := b.fails(job.Uninstall, "hook is Failed: ")
	b.job.Plain = false
	shut := b.fails(job.Uninstall, "hook is Failed")
	if strings.Contains(shut.Message, "hook is Failed: ") {
		t.Errorf("it says %s; what may be shown is %s", shut.Message, open.Message)
	}
}

// Whatever a template is put together of, what it asks the cluster for tells.
func TestItIsToldWhenATemplateHasLookedSomethingUp(t *testing.T) {
	b := newBundle(t)
	const looks = `{{ (lookup "v1" "Secret" "x" "y").data }}`
	valued := configMap("it", `a: {{ tpl .Values.a . | quote }}`)
	for name, tc := range map[string]struct {
		files  map[string]string
		values string
		want   bool
	}{
		"a template":      {map[string]string{"templates/it.yaml": configMap("it", "a: "+"'"+looks+"'")}, `{}`, true},
		"a value":         {map[string]string{"templates/it.yaml": valued}, `{"a": "{{ (lookup \"v1\" \"Secret\" \"x\" \"y\").data }}"}`, true},
		"a file":          {map[string]string{"templates/it.yaml": configMap("it", `a: {{ tpl (.Files.Get "a.txt") . | quote }}`), "a.txt": looks}, `{}`, true},
		"pieces":          {map[string]string{"templates/it.yaml": configMap("it", `a: {{ tpl (printf "{{ (%s%s \"v1\" \"Secret\" \"x\" \"y\").data }}" "look" "up") . | quote }}`)}, `{}`, true},
		"a hook":          {map[string]string{"templates/hook.yaml": strings.Replace(configMap("hook", "a: '"+looks+"'"), "{name: hook}", "{name: hook, annotations: {"+hookOf("pre-install")+"}}", 1)}, `{}`, true},
		"what is not run": {map[string]string{"templates/it.yaml": configMap("it", `a: '{{ if .Values.none }}`+looks+`{{ end }}'`)}, `{}`, false},
		"nothing":         {nil, `{"a": "lookup"}`, false},
	} {
		b.chart("1.0.0", tc.files)
		b.values(tc.values)
		for _, action := range []job.Action{job.Render, job.Install, job.Upgrade} {
			if got := b.done(action).LookedUp; got != tc.want {
				t.Errorf("%s: %s: it has looked up: %v", name, action, got)
			}
		}
		b.done(job.Uninstall)
	}
}
