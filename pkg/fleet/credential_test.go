package fleet_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
)

func TestCredentialIsGrantedByTheSegmentsOfItsPrefix(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		prefix, address string
		want            int
	}{
		{"https://git.example.com/acme", "https://git.example.com/acme/app", 2},
		{"https://git.example.com/acme/", "https://git.example.com/acme", 2},
		{"https://git.example.com", "https://git.example.com/acme/app.git", 1},
		{"https://git.example.com/acme", "https://git.example.com/acme-evil/app", 0},
		{"https://git.example.com/acme", "https://git.example.com/acme.git", 0},
		{"https://git.example.com/acme", "https://git.example.com/Acme/app", 0},
		{"https://git.example.com/acme", "https://git.example.com/acme/../evil", 0},
		{"https://git.example.com/acme", "https://git.example.com/acme/%2e%2e/evil", 0},
		{"https://git.example.com/acme", "https://git.example.com/acme/%2E./evil", 0},
		{"https://git.example.com/acme", "https://git.example.com/acme%2fapp", 0},
		{"https://git.example.com/acme", "https://git.example.com/acme/x%2f..%2f..%2fevil", 0},
		{"https://git.example.com/acme", "https://git.example.com/acme/x%5c..%5cevil", 0},
		{"https://git.example.com/acme", "https://git.example.com/acme/%252e%252e/evil", 0},
		{"https://git.example.com/acme", "https://git.example.com//acme/app", 0},
		{"https://git.example.com/acme", "https://git.example.com/acme;x/app", 0},
		{"https://git.example.com/acme", "https://git.example.com/acme/app?x=https://evil", 0},
		{"https://git.example.com/acme", "https://git.example.com/acme/app#x", 0},
		{"https://git.example.com/acme", "https://GIT.example.com:443/acme/app", 2},
		{"https://git.example.com/acme", "HTTPS://git.example.com/acme/app", 2},
		{"https://git.example.com:443/acme", "https://git.example.com/acme/app", 2},
		{"https://git.example.com/acme", "https://git.example.com:8443/acme/app", 0},
		{"https://git.example.com/acme", "http://git.example.com/acme/app", 0},
		{"http://git.example.com/acme", "http://git.example.com:80/acme/app", 2},
		{"https://git.example.com/acme", "https://git.example.com./acme/app", 0},
		{"https://git.example.com/acme", "https://git.example.com.evil.com/acme/app", 0},
		{"https://git.example.com/acme", "https://git.example.com@evil.com/acme/app", 0},
		{"https://git.example.com/acme", "https://user@git.example.com/acme/app", 0},
		{"https://git.example.com/acme", "https://evil.com/https://git.example.com/acme", 0},
		{"https://git.example.com/acme", `https://git.example.com\@evil.com/acme/app`, 0},
		{"https://git.example.com/a b", "https://git.example.com/a b", 0},
		{"https://git.example.com/a%20b", "https://git.example.com/a%20b/app", 2},
		{"ssh://git.example.com/acme", "ssh://git@git.example.com/acme/app", 2},
		{"ssh://git.example.com:22/acme", "ssh://git@git.example.com/acme/app", 2},
		{"ssh://git.example.com/acme", "ssh://git:word@git.example.com/acme/app", 0},
		{"oci://ghcr.io/acme", "oci://ghcr.io/acme/app", 2},
		{"oci://ghcr.io/acme", "https://ghcr.io/acme/app", 0},
		{"https://[::1]:8443/acme", "https://[::1]:8443/acme/app", 2},
	} {
		c := fleet.Credential{URLPrefix: test.prefix, Namespaces: []string{"apps"}}
		if got := c.Grants("apps", test.address); got != test.want {
			t.Errorf("%s of %s: %d, want %d", test.prefix, test.address, got, test.want)
		}
		if c.Grants("other", test.address) != 0 {
			t.Errorf("%s is granted to a namespace that it does not name", test.prefix)
		}
		if c.Namespaces = []string{"*"}; c.Grants("other", test.address) != test.want {
			t.Errorf("%s is not granted to every namespace", test.prefix)
		}
	}
}

func TestCredentialNamesWhatIsWrongWithIt(t *testing.T) {
	t.Parallel()
	ref := &fleet.NamespacedRef{Namespace: "flux-system", Name: "git"}
	for _, test := range []struct {
		credential fleet.Credential
		want       string // empty: it is valid
	}{
		{fleet.Credential{URLPrefix: "https://git.example.com", Namespaces: []string{"*"}, SecretRef: ref}, ""},
		{fleet.Credential{URLPrefix: "https://x.blob.core.windows.net", Namespaces: []string{"a", "b"}, Provider: "azure"}, ""},
		{fleet.Credential{Namespaces: []string{"*"}, SecretRef: ref}, "spec.urlPrefix: is required"},
		{fleet.Credential{URLPrefix: "git.example.com", Namespaces: []string{"*"}, SecretRef: ref}, "spec.urlPrefix: has no scheme"},
		{fleet.Credential{URLPrefix: "https:///acme", Namespaces: []string{"*"}, SecretRef: ref}, "spec.urlPrefix: names no host"},
		{fleet.Credential{URLPrefix: "https://user:word@git.example.com", Namespaces: []string{"*"}, SecretRef: ref}, "spec.urlPrefix: holds credentials"},
		{fleet.Credential{URLPrefix: "https://git.example.com/../x", Namespaces: []string{"*"}, SecretRef: ref}, "spec.urlPrefix: has a path"},
		{fleet.Credential{URLPrefix: "https://*.example.com", Namespaces: []string{"*"}, SecretRef: ref}, "spec.urlPrefix: names no host"},
		{fleet.Credential{URLPrefix: "https://git.example.com", SecretRef: ref}, "spec.namespaces: is required"},
		{fleet.Credential{URLPrefix: "https://git.example.com", Namespaces: []string{"team-*"}, SecretRef: ref}, "spec.namespaces[0]"},
		{fleet.Credential{URLPrefix: "https://git.example.com", Namespaces: []string{"*"}, SecretRef: &fleet.NamespacedRef{Name: "git"}}, "spec.secretRef.namespace: is required"},
		{fleet.Credential{URLPrefix: "https://git.example.com", Namespaces: []string{"*"}, Provider: "alibaba"}, "spec.provider"},
		{fleet.Credential{URLPrefix: "https://github.com", Namespaces: []string{"*"}, Provider: "github"}, "spec.provider: github has no identity of the hub's"},
		{fleet.Credential{URLPrefix: "https://git.example.com", Namespaces: []string{"*"}, Provider: "generic"}, "spec: it gives nothing"},
	} {
		err := test.credential.Validate()
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%+v: %v", test.credential, err)
		case test.want != "" && (!errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%+v: %v, want %q", test.credential, err, test.want)
		}
	}
}

// Whatever an address looks like, a credential for a place goes nowhere but below it.
func FuzzCredentialGoesNowhereElse(f *testing.F) {
	for _, address := range []string{"https://git.example.com/acme/app", "https://git.example.com/acme/..", "https://git.example.com@evil.com/acme",
		"https://git.example.com:443/acme/%2e%2e/x", "https://git.example.com/acme%2f", "HTTPS://Git.Example.COM/acme", "https://git.example.com\\@x/acme"} {
		f.Add(address)
	}
	c := fleet.Credential{URLPrefix: "https://git.example.com/acme", Namespaces: []string{"*"}}
	f.Fuzz(func(t *testing.T, address string) {
		if c.Grants("apps", address) == 0 {
			return
		}
		u, err := url.Parse(address)
		if err != nil {
			t.Fatalf("%q: %v", address, err)
		}
		if !strings.EqualFold(u.Hostname(), "git.example.com") || u.Port() != "" && u.Port() != "443" || u.Scheme != "https" || u.User != nil {
			t.Errorf("%q is elsewhere", address)
		}
		// As whoever resolves dots, or decodes first, sees it.
		for _, path := range []string{u.Path, u.EscapedPath(), u.JoinPath().Path} {
			if path != "/acme" && !strings.HasPrefix(path, "/acme/") || strings.Contains(path+"/", "/../") || strings.Contains(path, `\`) {
				t.Errorf("%q is at %q", address, path)
			}
		}
	})
}
