package subst_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/envsubst"
	"pgregory.net/rapid"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/subst"
)

func variablesOf(pairs ...string) subst.Variables {
	v := subst.Variables{}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], subst.Variable{Value: pairs[i+1], From: "here"})
	}
	return v
}

// The cases of Flux's documentation (post build variable substitution) and of fluxcd/pkg/kustomize's tests.
func TestTextIsSubstitutedAsFluxDocumentsIt(t *testing.T) {
	t.Parallel()
	v := variablesOf("cluster_env", "prod", "region", "eu-central-1", "empty", "", "lines", "a\nb\n", "domain", "example.com", "n", "8080")
	for text, want := range map[string]string{
		"env: ${cluster_env}":                           "env: prod",
		"env: ${cluster_env:=dev}":                      "env: prod",
		"env: ${missing:=dev}":                          "env: dev",
		"env: ${missing:-dev}":                          "env: dev",
		"env: ${missing:=}":                             "env: ",
		"env: ${missing:=${region}}":                    "env: eu-central-1",
		"env: ${empty}":                                 "env: ",
		"env: ${empty:=dev}":                            "env: dev",
		"script: echo $${cluster_env}":                  "script: echo ${cluster_env}",
		"script: echo $cluster_env $(date) $1":          "script: echo $cluster_env $(date) $1",
		"text: ${lines}":                                "text: ab",
		"length: ${#region}":                            "length: 12",
		"upper: ${cluster_env^^}, first: ${region:0:2}": "upper: PROD, first: eu",
		"dashed: ${domain/./-}":                         "dashed: example-com",
		"port: ${n}\nquoted: \"${n}\"":                  "port: 8080\nquoted: \"8080\"",
		"nothing":                                       "nothing",
	} {
		got, secret, err := v.Text(text)
		if got != want || secret || err != nil {
			t.Errorf("%q: %q, secret %v, error %v; want %q", text, got, secret, err, want)
		}
	}
}

func TestAVariableThatIsNotSetAndHasNoDefaultIsAnErrorThatNamesIt(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"${a} ${MISSING}", "${MISSING^^}", "${#MISSING}", "${a:=${MISSING}}", "${MISSING/a/b}"} {
		_, _, err := variablesOf("a", "1").Text(text)
		if !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), `"MISSING" is not set`) {
			t.Errorf("%q: error %v", text, err)
		}
	}
	if _, _, err := variablesOf("a", "1").Text("${a"); !errors.Is(err, fleet.ErrInvalid) || strings.Contains(err.Error(), "not set") {
		t.Errorf("a brace that is not closed: error %v", err)
	}
}

func TestTextTellsWhetherASecretWentIntoIt(t *testing.T) {
	t.Parallel()
	v := variablesOf("plain", "1", "over", "2")
	v.Set("secret", subst.Variable{Value: "canary", Secret: true})
	v.Set("over", subst.Variable{Value: "canary", Secret: true})
	v.Set("over", subst.Variable{Value: "3"})
	for text, want := range map[string]bool{
		"${plain}": false, "${secret}": true, "${#secret}": true, "${over}": false, "${none:=${secret}}": true, "$${secret}": false, "text": false,
	} {
		if _, secret, err := v.Text(text); secret != want || err != nil {
			t.Errorf("%q: secret %v, error %v", text, secret, err)
		}
	}
	if _, _, err := v.Text("${secret} ${none}"); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("error %v", err)
	}
}

func TestANameThatIsNoneIsRefusedWithWhereItIsFrom(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{"a": true, "_": true, "A1_b": true, "1a": false, "a-b": false, "a.b": false, "": false, "a\n": false} {
		v := subst.Variables{}
		v.Set(name, subst.Variable{Value: "canary", From: "Secret/apps/x"})
		err := v.Check()
		if (err == nil) != ok || subst.IsName(name) != ok {
			t.Errorf("%q: error %v", name, err)
		}
		if err != nil && (!errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), "Secret/apps/x") || strings.Contains(err.Error(), "canary")) {
			t.Errorf("%q: error %v", name, err)
		}
	}
}

func TestDigestTellsVariablesApart(t *testing.T) {
	t.Parallel()
	one, same, other := variablesOf("a", "1", "b", "2"), variablesOf("b", "2\n", "a", "1"), variablesOf("a", "1", "b", "3")
	if one.Digest() != same.Digest() || one.Digest() == other.Digest() || one.Digest() == (subst.Variables{}).Digest() {
		t.Error("digests do not follow the variables")
	}
}

// Flux hands envsubst a lookup that knows the variables, their line breaks taken out, and in strict mode says of others
// that they do not exist (fluxcd/pkg/kustomize, varSubstitution). Whatever the text, the outcome is the same.
func TestTextIsWhatFluxMakesOfIt(t *testing.T) {
	t.Parallel()
	pieces := []string{
		"${", "}", "$", "$$", "a", "b", "_c", "NONE", ":=", ":-", "=", "/", "//", "#", "##", "%", "%%", "^", "^^", ",", ",,", ":", "0", "1", "-1", "2",
		" ", "\n", "\"", "'", "\\", "/#", "/%", "*", "?", "[", ":?", ":+", "x", "é", ".", "${a}", "${b:=x}", "${NONE:=${a}}", "key: ",
	}
	rapid.Check(t, func(r *rapid.T) {
		values := map[string]string{}
		v := subst.Variables{}
		for _, name := range []string{"a", "b", "_c"} {
			if rapid.Bool().Draw(r, "has "+name) {
				value := rapid.StringOfN(rapid.RuneFrom([]rune("ab1 \n.:é${}\"")), 0, 6, -1).Draw(r, name)
				values[name] = strings.ReplaceAll(value, "\n", "")
				v.Set(name, subst.Variable{Value: value})
			}
		}
		text := strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 12).Draw(r, "text"), "")
		want, wantPanic, wantErr := flux(text, values)
		got, _, err := v.Text(text)
		if wantPanic != nil {
			if err == nil {
				r.Fatalf("%q: Flux panics (%v), and this is %q", text, wantPanic, got)
			}
			return
		}
		if (err == nil) != (wantErr == nil) || err == nil && got != want {
			r.Fatalf("%q with %q: %q, %v; Flux: %q, %v", text, values, got, err, want, wantErr)
		}
	})
}

func flux(text string, values map[string]string) (result string, panicked any, err error) {
	defer func() { panicked = recover() }()
	result, err = envsubst.Eval(text, func(name string) (string, bool) {
		value, exists := values[name]
		return value, exists
	})
	return result, nil, err
}

func ExampleVariables_Text() {
	v := subst.Variables{}
	v.Set("REPLICAS", subst.Variable{Value: "2", From: "the cluster's variables"})
	v.Set("REPLICAS", subst.Variable{Value: "3", From: "spec.postBuild.substitute"})
	text, _, err := v.Text("replicas: ${REPLICAS}\nimage: ${IMAGE:=podinfo}")
	fmt.Println(text, err)
	// Output:
	// replicas: 3
	// image: podinfo <nil>
}
