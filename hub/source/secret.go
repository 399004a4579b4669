package source

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
)

// BadSecret is the failure of a Secret that will not do, or that is not there: the same of all kinds, and Flux's. It is no
// fault of the spec, which may be as it was when the Secret is mended, so it is tried again; and so is a KindSignature, which
// a Secret is that signatures cannot be verified by. The field that names it, below spec, stands before the text.
func (u Upstream) BadSecret(field, format string, args ...any) *Error {
	failure := u.Fail(KindAuth, "%s: %s", u.Field(field), fmt.Sprintf(format, args...))
	failure.Reason = "AuthenticationFailed"
	return failure
}

// TLS is what the Secret that a field names says of whom to trust beside the system's authorities, and what to show, in the
// keys ca.crt, tls.crt and tls.key, or those that Flux had before (caFile, certFile, keyFile). It is nil for nothing of
// these, which a Secret must have that is for nothing else.
func (u Upstream) TLS(field string) (*tls.Config, error) {
	secret := u.Secrets[field]
	config, err := tlsConfig(either(secret, "ca.crt", "caFile"), either(secret, "tls.crt", "certFile"), either(secret, "tls.key", "keyFile"))
	switch {
	case err != nil:
		return nil, u.BadSecret(field, "%s", err)
	case config == nil && secret != nil && field != "secretRef":
		return nil, u.BadSecret(field, "the Secret has none of ca.crt, tls.crt and tls.key; add those that the server needs")
	}
	return config, nil
}

// either is the value of a key, or of the one that Flux had for it before.
func either(secret map[string][]byte, key, before string) []byte {
	if value := secret[key]; len(value) > 0 {
		return value
	}
	return secret[before]
}

// tlsConfig is what the PEM of a Secret's keys says: authorities to trust beside the system's, and a certificate to show
// with its key; nil for none of them. Its errors name the keys, for people.
func tlsConfig(ca, certificate, key []byte) (*tls.Config, error) {
	if len(ca) == 0 && len(certificate) == 0 && len(key) == 0 {
		return nil, nil
	}
	config := &tls.Config{}
	if len(ca) > 0 {
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool()
		}
		if !roots.AppendCertsFromPEM(ca) {
			return nil, errors.New("ca.crt of the Secret holds no certificate in PEM form")
		}
		config.RootCAs = roots
	}
	switch {
	case len(certificate) == 0 && len(key) == 0:
	case len(certificate) == 0 || len(key) == 0:
		return nil, errors.New("the Secret has one of tls.crt and tls.key, and both are needed")
	default:
		pair, err := tls.X509KeyPair(certificate, key)
		if err != nil {
			return nil, errors.New("tls.crt and tls.key of the Secret are no certificate with its key in PEM form")
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
