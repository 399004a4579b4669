package helm_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/helm"
	"flotilla.dev/flotilla/spoke/helm/process"
)

// Whatever a chart, its values or what they are from are like: what is read of it says where the fault is and what to do, has
// no value of a Secret, and the next release is none the worse.
func TestWhatIsReadOfABadRelease(t *testing.T) {
	const failed = "Helm install failed for release NS/app with chart app@1.0.0: "
	const schema = `{"properties": {"replicas": {"type": "integer", "maximum": 3}, "password": {"pattern": "^x"}}}`
	secret := func(key string) []flux.HelmValuesReference {
		return []flux.HelmValuesReference{{Kind: "Secret", Name: "s", ValuesKey: key}}
	}
	bad := func(template string) map[string]string { return map[string]string{"templates/bad.yaml": template} }
	for name, tc := range map[string]struct {
		files           map[string]string
		values          string
		from            []flux.HelmValuesReference
		reason, message string
	}{
		"values against the schema": {
			map[string]string{"values.schema.json": schema}, `{"replicas": "many"}`, nil, "InstallFailed",
			failed + "values don't meet the specifications of the schema(s) in the following chart(s):\napp:\n- at '/replicas': got string, want integer",
		},
		"values of a Secret against the schema": {
			map[string]string{"values.schema.json": schema}, `{"replicas": 9}`, secret(""), "InstallFailed",
			failed + "values don't meet the schema of the chart; at '/password': it is refused; at '/replicas': maximum: got 9, want 3 (its own words are not shown, because values of Secrets may be in them)",
		},
		"a template": {
			bad("\n{{ .Values.none.deeper }}"), `{}`, nil, "InstallFailed",
			failed + "app/templates/bad.yaml:2:10\n  executing \"app/templates/bad.yaml\" at <.Values.none.deeper>:\n    nil pointer evaluating interface {}.deeper",
		},
		"a template that quotes a Secret": {
			bad("\n{{ fail (printf \"no %s\" .Values.password) }}"), `{}`, secret(""), "InstallFailed",
			failed + "app/templates/bad.yaml:2:3: the template says why (its own words are not shown, because values of Secrets may be in them)",
		},
		"a template that wants a value": {
			bad(`{{ required "set image.tag" .Values.none }}`), `{}`, secret(""), "InstallFailed",
			failed + "app/templates/bad.yaml:1:3: set image.tag",
		},
		"no Secret": {
			nil, `{}`, []flux.HelmValuesReference{{Kind: "Secret", Name: "none"}}, "ValuesError",
			"prepare of release NS/app: invalid: spec.valuesFrom[0]: Secret/NS/none key values.yaml: the Secret does not exist: make it, or set optional: true",
		},
		"no key": {
			nil, `{}`, secret("none"), "ValuesError",
			"prepare of release NS/app: invalid: spec.valuesFrom[0]: Secret/NS/s key none: the Secret has no such key: add it, change valuesKey, or set optional: true",
		},
		"no YAML in a Secret": {
			nil, `{}`, secret("bad"), "ValuesError",
			"prepare of release NS/app: invalid: spec.valuesFrom[0]: Secret/NS/s key bad: its content is no YAML of values (line 1)",
		},
		"a panic": {
			bad(`{{ substr 5 1 .Values.password }}`), `{}`, secret(""), "InstallFailed",
			failed + "app/templates/bad.yaml:1:3: error calling substr (its own words are not shown, because values of Secrets may be in them)",
		},
		"memory": {
			bad(`{{ repeat 1000000000 .Values.password }}`), `{}`, secret(""), "InstallFailed",
			failed + "install: invalid: it needs more memory than the 192 MiB that Helm may use for a release; flotilla-spoke gives it more by --helm-bytes, as far as its container has it",
		},
		"a loop": {
			bad(`{{ .Values.password }}{{ range until 1000 }}{{ range until 1000 }}{{ range until 10000 }}{{ end }}{{ end }}{{ end }}`), `{}`, secret(""), "InstallFailed",
			failed + "install: invalid: it used more than 4s of processor time",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReal(t)
			program, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			bounds := process.Config{Program: program, Memory: 192 << 20, CPU: time.Second}
			if name == "a loop" {
				bounds.Memory = process.DefaultMemory
			}
			if r.runner.Runner, err = process.New(bounds); err != nil {
				t.Fatal(err)
			}
			r.secret("s", map[string]string{"values.yaml": "password: canary\n", "bad": "a: [canary"})
			r.plan.Spec.ValuesFrom, r.plan.Spec.Values = tc.from, json.RawMessage(tc.values)
			err = r.try(r.target("1.0.0", tc.files))
			var failure *helm.Failure
			if !errors.As(err, &failure) {
				t.Fatalf("error %v", err)
			}
			if want := strings.ReplaceAll(tc.message, "NS", r.namespace); failure.Reason != tc.reason || failure.Error() != want {
				t.Errorf("reason %s\n%s\nwant %s\n%s", failure.Reason, failure, tc.reason, want)
			}
			r.mu.Lock()
			told := fmt.Sprint(string(r.engine.Status(r.app()).Detail), r.events)
			r.mu.Unlock()
			if strings.Contains(told, "canary") || strings.Contains(told, "Y2FuYXJ5") {
				t.Errorf("it is told: %s", told)
			}
			r.plan.Spec.ValuesFrom, r.plan.Spec.Values = nil, nil
			r.deploy(r.target("1.0.1", nil))
		})
	}
}
