package source_test

import (
	"strings"
	"testing"

	"flotilla.dev/flotilla/hub/source"
)

func TestTheSecretOfAProxySaysWhereItIsAndWhoAsks(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ address, username, password, want, problem string }{
		"an address":          {"http://proxy:3128", "", "", "http://proxy:3128", ""},
		"an address of TLS":   {"https://proxy", "", "", "https://proxy", ""},
		"SOCKS":               {"socks5://proxy:1080", "", "", "socks5://proxy:1080", ""},
		"a line's end":        {" http://proxy:3128\n", "", "", "http://proxy:3128", ""},
		"a user":              {"http://proxy", "anna", "", "http://anna:@proxy", ""},
		"a user and password": {"http://proxy", "anna", "a b", "http://anna:a%20b@proxy", ""},
		"no user":             {"http://proxy", "", "canary", "http://proxy", ""},
		"nothing":             {"", "anna", "canary", "", "has no key address"},
		"white space":         {" \n", "", "", "", "has no key address"},
		"a host":              {"proxy:3128", "", "", "", "is not a URL"},
		"a port":              {"http://:3128", "", "", "", "is not a URL"},
		"another scheme":      {"ftp://proxy", "", "", "", "is not an http://, https:// or socks5:// URL"},
		"a user in it":        {"http://anna:canary@proxy", "", "", "", "user and password are keys of their own, username and password"},
	} {
		secret := map[string][]byte{"address": []byte(tc.address)}
		for key, value := range map[string]string{"username": tc.username, "password": tc.password} {
			if value != "" {
				secret[key] = []byte(value)
			}
		}
		got, err := source.Upstream{Secrets: source.Secrets{"proxySecretRef": secret}}.Proxy()
		switch {
		case tc.problem != "":
			if err == nil || !strings.Contains(err.Error(), tc.problem) || strings.Contains(err.Error(), "canary") {
				t.Errorf("%s: error %v, want %q", name, err, tc.problem)
			}
		case err != nil || got.String() != tc.want:
			t.Errorf("%s: %v, %v; want %s", name, got, err, tc.want)
		}
	}
}
