package bucket

import (
	"net/http"
	"net/url"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/flux"
)

// The fields of the spec that name Secrets; that of the proxy is source's to read.
const (
	secretRef        = "secretRef"
	certSecretRef    = "certSecretRef"
	stsSecretRef     = "sts.secretRef"
	stsCertSecretRef = "sts.certSecretRef"
)

// wire is how an upstream is reached.
type wire struct {
	upstream
	network *source.Network
	proxy   *url.URL
	file    int64 // the bytes of an object
}

// connect is the bucket that the spec names. It asks nothing yet.
func (b *Bucket) connect(u upstream) (storage, error) {
	w := &wire{upstream: u, network: b.config.Network, file: b.config.Limits.File}
	if u.spec.SecretRef != nil && u.Secrets[secretRef] == nil {
		return nil, u.BadSecret(secretRef, "the Secret is not there")
	}
	var err error
	if w.proxy, err = u.Proxy(); err != nil {
		return nil, err
	}
	switch u.spec.GetProvider() {
	case flux.BucketGCP:
		return w.gcs(b.identity)
	case flux.BucketAzure:
		return w.azure(b.identity)
	}
	return w.s3(b.identity)
}

// storageTransport is the HTTP that lists and reads objects.
func (w *wire) storageTransport() (http.RoundTripper, error) {
	config, err := w.client(certSecretRef)
	if err != nil {
		return nil, err
	}
	config.Limit = w.limit
	if endpoint, err := url.Parse(w.URL); err == nil {
		config.Host = endpoint.Host // requests may have the bucket in their host
	}
	config.Errors = maxError
	config.Redirect = nowhere
	return &listReader{w.network.Transport(config)}, nil
}

// tokenClient is the HTTP that gets credentials, with the trust that a Secret gives it.
func (w *wire) tokenClient(certField string) (*http.Client, error) {
	config, err := w.client(certField)
	if err != nil {
		return nil, err
	}
	config.Limit = func(*http.Request) (int64, string) { return maxToken, "the answer with a credential is too large" }
	config.Errors = maxError
	config.Redirect = nowhere
	return w.network.Client(config), nil
}

func (w *wire) client(certField string) (source.ClientConfig, error) {
	settings, err := w.TLS(certField)
	if err != nil {
		return source.ClientConfig{}, err
	}
	return source.ClientConfig{TLS: settings, Proxy: w.proxy, Route: w.Route()}, nil
}

// nowhere leaves redirects to the callers, as answers that they do not want: a credential stays where it belongs.
func nowhere(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
