package helm

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"strings"

	"k8s.io/client-go/rest"
)

// credentialed is a way to the cluster without a program for its credentials: it has those that the program gives now. Helm's
// process runs no programs.
func credentialed(way *rest.Config) (*rest.Config, error) {
	if way.ExecProvider == nil {
		return way, nil
	}
	has := rest.CopyConfig(way)
	has.ExecProvider = nil
	config, err := way.TransportConfig()
	if err != nil {
		return nil, fmt.Errorf("credentials of the kubeconfig: %w", err)
	}
	if config.WrapTransport != nil {
		var asked caught
		request, err := http.NewRequest(http.MethodGet, "https://nobody.invalid/", nil) // it is not sent
		if err != nil {
			return nil, err
		}
		response, err := config.WrapTransport(&asked).RoundTrip(request)
		if err != nil {
			return nil, fmt.Errorf("credentials of the kubeconfig: %w", err)
		}
		_ = response.Body.Close()
		has.BearerToken, has.BearerTokenFile = tokenOf(asked.authorization, has.BearerToken), ""
	}
	if config.HasCertCallback() {
		certificate, err := config.TLS.GetCertHolder.GetCert()
		if err != nil {
			return nil, fmt.Errorf("credentials of the kubeconfig: %w", err)
		}
		if certificate != nil && len(certificate.Certificate) > 0 {
			key, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
			if err != nil {
				return nil, fmt.Errorf("credentials of the kubeconfig: its key: %w", err)
			}
			has.CertFile, has.KeyFile, has.CertData = "", "", nil
			for _, der := range certificate.Certificate {
				has.CertData = append(has.CertData, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
			}
			has.KeyData = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
		}
	}
	return has, nil
}

func tokenOf(authorization, or string) string {
	if token, is := strings.CutPrefix(authorization, "Bearer "); is {
		return token
	}
	return or
}

// caught takes a request for its credentials, and sends it to nobody.
type caught struct{ authorization string }

func (c *caught) RoundTrip(r *http.Request) (*http.Response, error) {
	c.authorization = r.Header.Get("Authorization")
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: r}, nil
}
