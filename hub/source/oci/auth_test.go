package oci_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/flux"
)

// wantsBasic makes a registry want a user and a password.
func wantsBasic(s *site) {
	s.before = func(w http.ResponseWriter, req *http.Request) bool {
		user, password, _ := req.BasicAuth()
		if user == "anna" && password == "canary" {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
}

func withSecret(secret map[string][]byte) func(*flux.OCIRepository, source.Secrets) {
	return func(o *flux.OCIRepository, s source.Secrets) {
		o.SecretRef = &flux.SecretRef{Name: "secret"}
		s["secretRef"] = secret
	}
}

func TestACredentialIsSentToTheRegistryThatItIsFor(t *testing.T) {
	t.Parallel()
	s, b := encrypted(t), fetcher(t)
	s.artifact(t, "latest", map[string]string{"a": "b"})
	wantsBasic(s)
	for name, test := range map[string]struct {
		secrets []map[string][]byte // secretRef, then those of the ServiceAccount
		says    string              // empty: it may pull
	}{
		"for the registry":     {[]map[string][]byte{dockerConfig(s.host(), "anna", "canary")}, ""},
		"as a URL":             {[]map[string][]byte{dockerConfig("https://"+s.host()+"/v2/", "anna", "canary")}, ""},
		"for the repository":   {[]map[string][]byte{dockerConfig(s.host()+"/apps/podinfo", "anna", "canary")}, ""},
		"for what it is below": {[]map[string][]byte{dockerConfig(s.host()+"/apps", "anna", "canary")}, ""},
		"a ServiceAccount's":   {[]map[string][]byte{nil, dockerConfig("other.example.com", "x", "y"), dockerConfig(s.host(), "anna", "canary")}, ""},
		"the last of two":      {[]map[string][]byte{dockerConfig(s.host(), "anna", "wrong-canary"), dockerConfig(s.host(), "anna", "canary")}, ""},
		"none":                 {nil, "the registry wants a credential, or has no such repository"},
		"a wrong one":          {[]map[string][]byte{dockerConfig(s.host(), "anna", "wrong-canary")}, "the registry refuses the credential for apps/podinfo"},
		"another registry's":   {[]map[string][]byte{dockerConfig("registry.example.com", "anna", "canary")}, "the registry wants a credential, and the Secret has no entry for " + s.host()},
		"another repository's": {[]map[string][]byte{dockerConfig(s.host()+"/apps/pod", "anna", "canary")}, "has no entry for"},
	} {
		s.requests()
		_, _, err := fetched(t.Context(), b, upstream(s, func(o *flux.OCIRepository, all source.Secrets) {
			for i, secret := range test.secrets {
				field := "secretRef"
				if i > 0 {
					field = fmt.Sprintf("serviceAccountName[%d]", i-1)
				}
				if secret != nil {
					all[field] = secret
				}
			}
		}))
		if test.says == "" && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if test.says != "" {
			refused(t, err, source.KindAuth, test.says)
		}
		if sent := s.credentials(); strings.Contains(name, "another") && len(sent) > 0 {
			t.Errorf("%s: the credential was sent", name)
		}
	}
}

func TestASecretThatIsNoDockerConfigurationIsRefused(t *testing.T) {
	t.Parallel()
	s, b := encrypted(t), fetcher(t)
	for says, secret := range map[string]map[string][]byte{
		"spec.secretRef: the Secret has no .dockerconfigjson":                                                 {"username": []byte("canary")},
		`spec.secretRef: .dockerconfigjson of the Secret is not {"auths"`:                                     {".dockerconfigjson": []byte("canary")},
		"spec.secretRef: the Secret's entry for " + s.host() + " has an auth that is not the base64 of user:": {".dockerconfigjson": []byte(`{"auths":{"` + s.host() + `":{"auth":"canary"}}}`)},
	} {
		_, _, err := fetched(t.Context(), b, upstream(s, withSecret(secret)))
		refused(t, err, source.KindAuth, says)
	}
	if asked := s.requests(); len(asked) != 0 {
		t.Errorf("asked %v", asked)
	}
}
