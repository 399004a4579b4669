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

// PeerCertificate is the client certificate that the caller's connection proved; without one: fleet.ErrDenied.
func PeerCertificate(ctx context.Context) (*x509.Certificate, error) {
	if p, ok := peer.FromContext(ctx); ok {
		// VerifiedChains, since it is only there when the certificate was verified.
		if info, ok := p.AuthInfo.(credentials.TLSInfo); ok && len(info.State.VerifiedChains) > 0 {
			return info.State.VerifiedChains[0][0], nil
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
