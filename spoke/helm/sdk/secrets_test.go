package sdk_test

import (
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/helm/job"
)

// What a template makes of a value of a Secret is hidden as far as it can be known again.
func TestAValueOfASecretIsHiddenInTheFormsThatATemplateGivesIt(t *testing.T) {
	b := newBundle(t)
	b.putSecret("s", map[string]string{"values.yaml": "word: C4nary/Word+\nname: C4nary_Name\nlines: |\n  first-canary\n  second-canary\n  c: d\n"})
	b.job.Plan.Spec.ValuesFrom = []flux.HelmValuesReference{{Kind: "Secret", Name: "s"}}
	b.chart("1.0.0", map[string]string{"templates/it.yaml": configMap("it", `small: {{ lower .Values.word }}, large: {{ upper .Values.word }}, encoded: {{ b64enc .Values.word | quote }}, `+
		`address: {{ printf "http://x/?p=%s" (urlquery .Values.word) | quote }}, line: {{ index (splitList "\n" .Values.lines) 1 }}, quoted: {{ .Values.lines | toJson | toJson }}, open: "c: d"`)})
	text := string(b.done(job.Render).Objects[0])
	for _, leak := range []string{"c4nary", "C4NARY", "C4nary", "QzRuYXJ5", "first-canary", "second-canary"} {
		if strings.Contains(text, leak) {
			t.Errorf("%q is in: %s", leak, text)
		}
	}
	if masked := "*** (Secret " + b.namespace + "/s key values.yaml)"; strings.Count(text, masked) < 6 || !strings.Contains(text, `"open":"c: d"`) {
		t.Errorf("it is %s", text)
	}
	b.chart("1.0.0", map[string]string{"templates/it.yaml": configMap("{{ lower .Values.name }}", "a: b")})
	if f := b.fails(job.Install, "Secret "+b.namespace+"/s"); strings.Contains(f.Message, "c4nary") {
		t.Errorf("it is %s", f.Message)
	}
}
