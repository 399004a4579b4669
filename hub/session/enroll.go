package session

import (
	"context"
	"time"

	"github.com/google/uuid"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/identity"
	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
)

// Enroll redeems a join token for a client certificate.
func (s *Server) Enroll(ctx context.Context, req *spokev1.EnrollRequest) (*spokev1.EnrollResponse, error) {
	token, err := identity.ParseJoinToken(req.GetToken())
	if err != nil {
		return nil, err
	}
	keyHash, err := identity.KeyHash(req.GetCertificateRequest())
	if err != nil {
		return nil, err
	}
	cluster, name, err := s.Store.RedeemToken(ctx, token.ID, token.SecretHash, keyHash, clip(req.GetKubeSystemUid(), maxUID))
	if err != nil {
		s.Log.Warn("enrolment refused", "cluster", name, "err", err)
		return nil, err
	}
	credentials, err := s.issue(ctx, cluster, req.GetCertificateRequest(), true)
	if err != nil {
		return nil, err
	}
	s.Log.Info("spoke enrolled", "cluster", name)
	return &spokev1.EnrollResponse{ClusterId: cluster, ClusterName: name, Credentials: credentials}, nil
}

// Renew issues the next certificate of the caller's cluster.
func (s *Server) Renew(ctx context.Context, req *spokev1.RenewRequest) (*spokev1.RenewResponse, error) {
	credentials, err := s.issue(ctx, callerOf(ctx).cluster, req.GetCertificateRequest(), false)
	if err != nil {
		return nil, err
	}
	return &spokev1.RenewResponse{Credentials: credentials}, nil
}

// issue makes a certificate and records it before it is given out, so that every replica accepts it.
func (s *Server) issue(ctx context.Context, cluster string, request []byte, enrolled bool) (*spokev1.Credentials, error) {
	id, err := uuid.Parse(cluster)
	if err != nil {
		return nil, err
	}
	issued, err := s.Authority.IssueClient(request, id, s.TrustDomain, s.CertificateTTL, time.Now())
	if err != nil {
		return nil, err
	}
	if err := s.Store.IssuedCertificate(ctx, cluster, fleet.Certificate{Serial: issued.Serial, IssuedAt: issued.NotBefore}, enrolled); err != nil {
		return nil, err
	}
	return &spokev1.Credentials{
		Certificate:    issued.DER,
		CaCertificates: [][]byte{s.Authority.Certificate().Raw},
		SigningKeys:    []*spokev1.SigningKey{{Id: s.StateKey.ID, PublicKey: s.StateKey.Public}},
	}, nil
}
