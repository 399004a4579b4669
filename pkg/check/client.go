package check

import (
	"crypto/tls"
	"net"
	"net/http"
	"time"

	"flotilla.dev/flotilla/pkg/reach"
)

// NewClient is Asker.Client where nothing else says how servers are reached: at any address but those that nobody is led
// to, and not through the environment's proxy.
func NewClient(trust *tls.Config) *http.Client {
	dialer := &net.Dialer{Timeout: 10 * time.Second, Control: reach.Addresses{}.Control}
	return &http.Client{Transport: &http.Transport{
		DialContext: dialer.DialContext, TLSClientConfig: trust, TLSHandshakeTimeout: 10 * time.Second, ForceAttemptHTTP2: true,
		ResponseHeaderTimeout: queryTime + time.Minute, DisableCompression: true,
	}}
}
