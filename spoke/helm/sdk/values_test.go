package sdk_test

import (
	"encoding/json"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/helm/job"
)

// shown are the values as YAML, for those who may see them all or not.
func (b *bundle) shown(reveal bool) string {
	b.Helper()
	answer := b.do(job.Request{Action: job.Values, Reveal: reveal})
	if answer.Failure != nil {
		b.Fatalf("values: %+v", answer.Failure)
	}
	return string(answer.Values)
}

func (b *bundle) valuesAre(want string) {
	b.Helper()
	var got, wanted any
	if err := yaml.Unmarshal([]byte(b.shown(true)), &got); err != nil {
		b.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(want), &wanted); err != nil {
		b.Fatal(err)
	}
	a, _ := json.Marshal(got)
	w, _ := json.Marshal(wanted)
	if string(a) != string(w) {
		b.Errorf("the values are %s, want %s", a, w)
	}
}

func TestValuesAreMergedInFluxsOrder(t *testing.T) {
	b := newBundle(t)
	b.putConfigMap("first", map[string]string{"values.yaml": "a: 1\nm: {j: first, k: first, list: [1, 2]}\n", "other": "a: other\n"})
	b.putSecret("second", map[string]string{"values.yaml": "m: {k: second}\nb: 2\n", "password": "hunter2", "text": "a,b={c}\\[d]", "quoted": "'007'", "list": "{v,w}"})
	from := func(refs ...flux.HelmValuesReference) { b.job.Plan.Spec.ValuesFrom = refs }
	first, second := flux.HelmValuesReference{Kind: "ConfigMap", Name: "first"}, flux.HelmValuesReference{Kind: "Secret", Name: "second"}
	at := func(key, path string, literal bool) flux.HelmValuesReference {
		return flux.HelmValuesReference{Kind: "Secret", Name: "second", ValuesKey: key, TargetPath: path, Literal: literal}
	}

	from(first, second)
	b.valuesAre("{a: 1, b: 2, m: {j: first, k: second, list: [1, 2]}}")
	from(second, first)
	b.valuesAre("{a: 1, b: 2, m: {j: first, k: first, list: [1, 2]}}")
	b.values(`{"m": {"k": "inline", "list": [3]}, "b": null}`)
	b.valuesAre("{a: 1, b: null, m: {j: first, k: inline, list: [3]}}")
	b.job.Binding.Values = json.RawMessage(`{"m": {"z": "placed", "k": "placed"}}`)
	b.valuesAre("{a: 1, b: null, m: {j: first, k: placed, z: placed, list: [3]}}")
	// A target path is over all, wherever it stands in the list.
	from(at("password", "m.k", false), first, second)
	b.valuesAre("{a: 1, b: null, m: {j: first, k: hunter2, z: placed, list: [3]}}")
	from(at("password", "m.list[0]", false), at("quoted", "q", false), at("list", "l", false), at("text", `t\.x`, true))
	b.valuesAre(`{b: null, m: {k: placed, z: placed, list: [hunter2]}, q: "007", l: [v, w], t.x: 'a,b={c}\[d]'}`)
	from(flux.HelmValuesReference{Kind: "ConfigMap", Name: "first", ValuesKey: "other"},
		flux.HelmValuesReference{Kind: "ConfigMap", Name: "none", Optional: true}, flux.HelmValuesReference{Kind: "Secret", Name: "second", ValuesKey: "none", Optional: true})
	b.valuesAre("{a: other, b: null, m: {k: placed, z: placed, list: [3]}}")
}

func TestValuesOfSecretsAreShownToNobodyWhoMayNotSeeThem(t *testing.T) {
	b := newBundle(t)
	b.putConfigMap("open", map[string]string{"values.yaml": "a: open\ndb: {host: example.com}\n"})
	b.putSecret("closed", map[string]string{"values.yaml": "db: {password: hunter2, ports: [5432]}\nwhole: true\n", "token": "t0k3n"})
	b.job.Plan.Spec.ValuesFrom = []flux.HelmValuesReference{
		{Kind: "Secret", Name: "closed"}, {Kind: "ConfigMap", Name: "open"}, {Kind: "Secret", Name: "closed", ValuesKey: "token", TargetPath: "env[1].value"},
	}
	b.values(`{"whole": "overwritten", "env": [{"name": "A"}, {"name": "TOKEN", "value": "later"}]}`)
	masked := "'*** (Secret " + b.namespace + "/closed key values.yaml)'"
	want := "a: open\ndb:\n  host: example.com\n  password: " + masked + "\n  ports:\n  - " + masked + "\n" +
		"env:\n- name: A\n- name: TOKEN\n  value: '*** (Secret " + b.namespace + "/closed key token)'\nwhole: overwritten\n"
	if got := b.shown(false); got != want {
		t.Errorf("shown are\n%swant\n%s", got, want)
	}
	if got := b.shown(true); !strings.Contains(got, "password: hunter2") || !strings.Contains(got, "value: t0k3n") {
		t.Errorf("revealed are\n%s", got)
	}
	if p := b.done(job.Prepare).Prepared; !p.Secret {
		t.Error("it is not told that there are values of Secrets")
	}
}

func TestVariablesOfTheClusterArePutInWhereThatIsAskedFor(t *testing.T) {
	b := newBundle(t)
	b.job.Binding.Variables = map[string]string{"REGION": "eu", "N": "3"}
	b.values(`{"region": "${REGION}", "num": "${N}", "default": "${NONE:=x}", "escaped": "$${REGION}"}`)
	b.valuesAre(`{region: "${REGION}", num: "${N}", default: "${NONE:=x}", escaped: "$${REGION}"}`)
	b.job.Plan.SubstituteValues = true
	b.job.Binding.Values = json.RawMessage(`{"placed": "in-${REGION}"}`)
	b.valuesAre(`{region: eu, num: 3, default: x, escaped: "${REGION}", placed: in-eu}`)
	b.values(`{"region": "${NONE}"}`)
	if f := b.fails(job.Prepare, "spec.values", `"NONE" is not set`); f.Reason != "ValuesError" || !f.Invalid {
		t.Errorf("it is %+v", f)
	}
}

func TestBadValuesAreNamedByWhereTheyAreFrom(t *testing.T) {
	b := newBundle(t)
	b.putConfigMap("open", map[string]string{"values.yaml": "a: [\n", "list": "- 1\n", "text": "x"})
	b.putSecret("closed", map[string]string{"values.yaml": "a: 1\nb: *hunter2\n", "set": "hunter2,b", "text": "hunter2"})
	for name, tc := range map[string]struct {
		ref  flux.HelmValuesReference
		want []string
	}{
		"no object":       {flux.HelmValuesReference{Kind: "ConfigMap", Name: "none"}, []string{"ConfigMap/" + b.namespace + "/none", "does not exist", "optional: true"}},
		"no key":          {flux.HelmValuesReference{Kind: "Secret", Name: "closed", ValuesKey: "none"}, []string{"Secret/" + b.namespace + "/closed key none", "no such key", "valuesKey"}},
		"no YAML":         {flux.HelmValuesReference{Kind: "ConfigMap", Name: "open"}, []string{"ConfigMap/" + b.namespace + "/open key values.yaml", "no YAML"}},
		"no mapping":      {flux.HelmValuesReference{Kind: "ConfigMap", Name: "open", ValuesKey: "list"}, []string{"key list"}},
		"secret, no YAML": {flux.HelmValuesReference{Kind: "Secret", Name: "closed"}, []string{"Secret/" + b.namespace + "/closed", "no YAML"}},
		"secret, text":    {flux.HelmValuesReference{Kind: "Secret", Name: "closed", ValuesKey: "text"}, []string{"key text", "no YAML"}},
		"secret at path":  {flux.HelmValuesReference{Kind: "Secret", Name: "closed", ValuesKey: "set", TargetPath: "a"}, []string{"targetPath a", "literal: true"}},
		"odd kind":        {flux.HelmValuesReference{Kind: "Pod", Name: "x"}, []string{`"Pod"`, "ConfigMap or Secret"}},
	} {
		b.job.Plan.Spec.ValuesFrom = []flux.HelmValuesReference{tc.ref}
		f := b.fails(job.Prepare, append(tc.want, "spec.valuesFrom[0]")...)
		if f.Reason != "ValuesError" || !f.Invalid || strings.Contains(f.Message, "hunter2") {
			t.Errorf("%s: %+v", name, f)
		}
	}
}
