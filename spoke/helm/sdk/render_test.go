package sdk_test

import (
	"slices"
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/helm/job"
)

// rendered are the objects of an answer, one a line.
func rendered(objects [][]byte) string {
	var out strings.Builder
	for _, object := range objects {
		out.Write(object)
		out.WriteString("\n")
	}
	return out.String()
}

func TestRenderShowsWhatWouldBeAppliedAndChangesNothing(t *testing.T) {
	b := newBundle(t)
	b.chart("1.0.0", map[string]string{
		"templates/lookup.yaml": configMap("looked", `uid: {{ (lookup "v1" "Namespace" "" "`+b.namespace+`").metadata.uid | quote }}`),
		"templates/hook.yaml":   pod("hook", hookOf("pre-install")),
	})
	object := func(name, data string) string {
		return `{"apiVersion":"v1","data":{` + data + `},"kind":"ConfigMap","metadata":{"annotations":{"meta.helm.sh/release-name":"app","meta.helm.sh/release-namespace":"` + b.namespace +
			`"},"labels":{"app.kubernetes.io/managed-by":"Helm","helm.toolkit.fluxcd.io/name":"app","helm.toolkit.fluxcd.io/namespace":"` + b.namespace + `"},"name":"` + name + `","namespace":"` + b.namespace + `"}}` + "\n"
	}
	first := b.done(job.Render)
	got := rendered(first.Objects)
	if !strings.Contains(got, object("it", `"a":"default"`)) || strings.Contains(got, `"uid":""`) || !strings.Contains(got, `"uid":"`) || len(first.Objects) != 2 || len(first.Before) != 0 {
		t.Errorf("rendered are, before %d,\n%s", len(first.Before), got)
	}
	if b.data("it") != nil || b.isThere("hook") {
		t.Error("something was applied")
	}
	b.historyIs(b.done(job.Observe), "")

	b.done(job.Install)
	b.values(`{"a": "2"}`)
	second := b.done(job.Render)
	if !strings.Contains(rendered(second.Objects), object("it", `"a":"2"`)) || !strings.Contains(rendered(second.Before), object("it", `"a":"default"`)) {
		t.Errorf("rendered are\n%sbefore\n%s", rendered(second.Objects), rendered(second.Before))
	}
	if b.data("it")["a"] != "default" {
		t.Error("something was applied")
	}
	b.historyIs(b.done(job.Observe), "1 deployed")
}

func TestRenderMasksValuesOfSecretsBeforeAndAfter(t *testing.T) {
	b := newBundle(t)
	b.chart("1.0.0", map[string]string{"templates/it.yaml": configMap("it", `p: {{ printf "user:%s" .Values.db.password | quote }}, enc: {{ .Values.db.password | b64enc | quote }}, n: {{ .Values.db.pin | quote }}, i: {{ .Values.db.pin | int | quote }}`)})
	b.putSecret("db", map[string]string{"one": "db: {password: c4n4ry-one, pin: 31415926}\n", "two": "db: {password: c4n4ry-two, pin: 27182818}\n"})
	b.job.Plan.Spec.ValuesFrom = []flux.HelmValuesReference{{Kind: "Secret", Name: "db", ValuesKey: "one"}}
	b.done(job.Install)
	b.job.Plan.Spec.ValuesFrom[0].ValuesKey = "two"
	answer := b.done(job.Render)
	all := rendered(answer.Objects) + rendered(answer.Before)
	masked := "*** (Secret " + b.namespace + "/db key two)"
	if strings.Contains(all, "c4n4ry") || strings.Contains(all, "YzRuNHJ5") || strings.Contains(all, "1415926") || strings.Contains(all, "7182818") || strings.Count(all, `"p":"user:`+masked+`"`) != 2 || strings.Count(all, `"enc":"`+masked+`"`) != 2 {
		t.Errorf("rendered are\n%s", all)
	}
	revealed := b.do(job.Request{Action: job.Render, Reveal: true})
	if !strings.Contains(rendered(revealed.Objects), "user:c4n4ry-two") || !strings.Contains(rendered(revealed.Before), "user:c4n4ry-one") {
		t.Errorf("revealed are\n%s", rendered(revealed.Objects))
	}
}

func TestRenderOfAPendingReleaseIsAsOfAnUnlockedOne(t *testing.T) {
	b := newBundle(t)
	b.done(job.Install)
	b.leavePending(1)
	if got := rendered(b.done(job.Render).Objects); !strings.Contains(got, `"a":"default"`) {
		t.Errorf("rendered are\n%s", got)
	}
	b.historyIs(b.done(job.Observe), "1 pending-upgrade")
}

// A short value of a Secret stands in many words of a chart.
func TestAKeyThatIsAValueOfASecretIsNotKnownBecauseAWordHasIt(t *testing.T) {
	b := newBundle(t)
	b.chart("1.0.0", map[string]string{"templates/it.yaml": configMap("it", `whole: y, {{ .Values.key }}: x, checksum/config: z`)})
	b.putSecret("db", map[string]string{"values.yaml": "key: efau\n"}) // as in default
	b.job.Plan.Spec.ValuesFrom = []flux.HelmValuesReference{{Kind: "Secret", Name: "db"}}
	keys := b.done(job.Render).Keys
	if slices.Contains(keys, "efau") || !slices.Contains(keys, "whole") || !slices.Contains(keys, "checksum/config") || !slices.Contains(keys, "data") {
		t.Errorf("known are %v", keys)
	}
}
