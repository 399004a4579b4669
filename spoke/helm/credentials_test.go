package helm

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"flotilla.dev/flotilla/pkg/fleet"
)

func TestWhatAProgramOfAKubeconfigGivesIsHandedOn(t *testing.T) {
	b := newBundle(t)
	own := b.cluster.REST()
	if len(own.CertData) == 0 || len(own.KeyData) == 0 {
		t.Fatal("the cluster's own way has no certificate")
	}
	for what, status := range map[string]map[string]any{
		"a token":       {"token": "t0ken"},
		"a certificate": {"clientCertificateData": string(own.CertData), "clientKeyData": string(own.KeyData)},
	} {
		text, err := json.Marshal(map[string]any{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status})
		if err != nil {
			t.Fatal(err)
		}
		way := &rest.Config{Host: own.Host, TLSClientConfig: rest.TLSClientConfig{CAData: own.CAData}, ExecProvider: &clientcmdapi.ExecConfig{
			APIVersion: "client.authentication.k8s.io/v1", Command: "printf", Args: []string{"%s", string(text)}, InteractiveMode: clientcmdapi.NeverExecInteractiveMode,
		}}
		has, err := credentialed(way)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		is, err := connection(has, "")
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if what == "a token" && is.BearerToken != "t0ken" || what == "a certificate" && (len(is.CertData) == 0 || !strings.Contains(string(is.KeyData), "PRIVATE KEY")) {
			t.Errorf("%s: token %q, certificate %q", what, is.BearerToken, is.CertData)
		}
	}
}

func TestAWayThatCannotBeHandedOnIsRefusedByName(t *testing.T) {
	t.Parallel()
	for name, way := range map[string]*rest.Config{
		"as: anna":  {Impersonate: rest.ImpersonationConfig{UserName: "anna"}},
		"proxy-url": {Proxy: func(*http.Request) (*url.URL, error) { return nil, nil }},
	} {
		if _, err := connection(way, ""); !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
