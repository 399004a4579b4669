package rpc

import (
	"context"
	"crypto/x509"
	"fmt"
	"strings"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"flotilla.dev/flotilla/pkg/fleet"
)

// PeerCertificate is the client certificate whose key the caller's connection proved to have; without one:
// fleet.ErrDenied. Whose it is, and whether it is good, is for the caller to verify.
func PeerCertificate(ctx context.Context) (*x509.Certificate, error) {
	if p, ok := peer.FromContext(ctx); ok {
		if info, ok := p.AuthInfo.(credentials.TLSInfo); ok && len(info.State.PeerCertificates) > 0 {
			return info.State.PeerCertificates[0], nil
		}
	}
	return nil, fmt.Errorf("%w: this call needs a client certificate", fleet.ErrDenied)
}

// BearerToken is the token that the call brought; empty: none.
func BearerToken(ctx context.Context) string {
	incoming, _ := metadata.FromIncomingContext(ctx)
	for _, value := range incoming.Get("authorization") {
		scheme, token, _ := strings.Cut(value, " ")
		if strings.EqualFold(scheme, "Bearer") {
			return strings.TrimSpace(token)
		}
	}
	return ""
}
