package source_test

import (
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/test/lab"
)

func startOCI(t *testing.T, p protection) *subject { return startRegistry(t, p, false) }

func startOCITokens(t *testing.T, p protection) *subject { return startRegistry(t, p, true) }

func startRegistry(t *testing.T, p protection, tokens bool) *subject {
	t.Helper()
	server := lab.TestRegistry(t, lab.RegistryConfig{SiteConfig: p.site(), Tokens: tokens})
	url := "oci://" + server.Name("team/app")
	u := source.Upstream{
		Kind: "OCIRepository", URL: url,
		Spec: flux.OCIRepository{
			URL: url, Interval: &flux.Duration{Duration: time.Minute}, Insecure: p.authority == nil,
			SecretRef: &flux.SecretRef{Name: "credential"},
		},
	}
	u = with(u, "certSecretRef", p.tls(t))
	if p.password {
		server.Protect("anna", rightPassword)
		u = with(u, "secretRef", dockerConfig(server, "anna", rightPassword))
	}
	return &subject{
		server: server, upstream: u,
		change: func(content string) {
			if _, err := server.Push("team/app", "latest", lab.FluxArtifact(files(content))); err != nil {
				t.Fatal(err)
			}
		},
		asked: func() int { return len(server.Visits()) }, fetched: server.Blobs,
		anonymous: func(u source.Upstream) source.Upstream { return with(u, "secretRef") },
		wrong: func(u source.Upstream) source.Upstream {
			return with(u, "secretRef", dockerConfig(server, "anna", wrongPassword))
		},
		unfit: unfitDockerConfig,
	}
}

func unfitDockerConfig(u source.Upstream) source.Upstream {
	return with(u, "secretRef", map[string][]byte{".dockerconfigjson": []byte(wrongPassword)})
}

func dockerConfig(server *lab.Registry, user, password string) map[string][]byte {
	auth := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	return map[string][]byte{".dockerconfigjson": fmt.Appendf(nil, `{"auths":{%q:{"auth":%q}}}`, server.Host(), auth)}
}
