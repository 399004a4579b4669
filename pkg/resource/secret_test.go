package resource_test

import (
	"encoding/json"
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/resource"
)

// kubectl copies what it applied, a Secret's content included, into an annotation.
func TestWhatKubectlAppliedLastIsNotTakenIn(t *testing.T) {
	t.Parallel()
	o, err := resource.Decode([]byte(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"git","namespace":"apps","annotations":{
		"kubectl.kubernetes.io/last-applied-configuration":"{\"stringData\":{\"password\":\"hunter2\"}}","team":"web"}},"data":{"password":"eA=="}}`))
	if err != nil {
		t.Fatal(err)
	}
	if out, _ := json.Marshal(o); strings.Contains(string(out), "hunter2") || o.Metadata.Annotations["team"] != "web" {
		t.Errorf("taken in: %s", out)
	}
}

func TestSecretWithoutTypeIsOpaque(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{"": "Opaque", `"type":"kubernetes.io/basic-auth",`: "kubernetes.io/basic-auth"} {
		o, err := resource.Decode([]byte(`{"apiVersion":"v1","kind":"Secret",` + given + `"metadata":{"name":"git","namespace":"apps"},"stringData":{"password":"x"}}`))
		if err != nil {
			t.Fatal(err)
		}
		if o.Type != want {
			t.Errorf("with %s: type %q, want %q", given, o.Type, want)
		}
	}
}

func TestContentOfASecretFitsItsType(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ kind, data, want string }{
		{"kubernetes.io/dockerconfigjson", `".dockerconfigjson":"{\"auths\":{}}"`, ""},
		{"kubernetes.io/dockerconfigjson", `".dockerconfigjson":"hunter2"`, "data[.dockerconfigjson]: is not JSON"},
		{"kubernetes.io/dockerconfigjson", `"password":"hunter2"`, "data[.dockerconfigjson]: is required"},
		{"kubernetes.io/dockercfg", `".dockercfg":"{}"`, ""},
		{"kubernetes.io/tls", `"tls.crt":"hunter2","tls.key":"hunter2","ca.crt":"hunter2"`, ""},
		{"kubernetes.io/tls", `"tls.crt":"hunter2"`, "data[tls.key]: is required"},
		{"kubernetes.io/ssh-auth", `"ssh-privatekey":"hunter2","known_hosts":"x"`, ""},
		{"kubernetes.io/ssh-auth", `"identity":"hunter2"`, "data[ssh-privatekey]: is required"},
		{"kubernetes.io/basic-auth", `"password":"hunter2"`, ""},
		{"kubernetes.io/basic-auth", `"token":"hunter2"`, "username or password"},
		{"kubernetes.io/service-account-token", `"token":"hunter2"`, "made by a cluster"},
		{"example.com/own", `"anything":"hunter2"`, ""},
		{"", `"a key":"hunter2"`, `"a key" is not a key`},
		{"", `"..":"hunter2"`, `".." is not a key`},
		{"", `"big":"` + strings.Repeat("hunter2", 1<<18) + `"`, "a Secret may have 1048576"},
	} {
		_, err := resource.Decode([]byte(`{"apiVersion":"v1","kind":"Secret","type":"` + test.kind + `","metadata":{"name":"git","namespace":"apps"},"stringData":{` + test.data + `}}`))
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s with %s: %v", test.kind, test.data, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hunter2")):
			t.Errorf("%s with %.100s: %v; want %s, and nothing of the content", test.kind, test.data, err, test.want)
		}
	}
	for _, kind := range []string{"kubernetes.io/tls", "kubernetes.io/dockerconfigjson"} {
		if _, err := resource.Decode([]byte(`{"apiVersion":"v1","kind":"Secret","type":"` + kind + `","metadata":{"name":"git","namespace":"apps"}}`)); err != nil {
			t.Errorf("%s as it is given out, without content: %v", kind, err)
		}
	}
}
