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
	var credentials *spokev1.Credentials
	issue := func(cluster string) (certificate fleet.Certificate, err error) {
		credentials, certificate, err = s.issue(cluster, req.GetCertificateRequest())
		return certificate, err
	}
	cluster, name, err := s.Store.RedeemToken(ctx, token.ID, token.SecretHash, keyHash, clip(req.GetKubeSystemUid(), maxUID), issue)
	if err != nil {
		s.Log.Warn("enrolment refused", "cluster", name, "err", err)
		return nil, err
	}
	s.Log.Info("spoke enrolled", "cluster", name)
	return &spokev1.EnrollResponse{ClusterId: cluster, ClusterName: name, Credentials: credentials}, nil
}

// Renew issues the next certificate of the caller's cluster, and records it before it is given out, so that every
// replica accepts it.
func (s *Server) Renew(ctx context.Context, req *spokev1.RenewRequest) (*spokev1.RenewResponse, error) {
	cluster := callerOf(ctx).cluster
	credentials, certificate, err := s.issue(cluster, req.GetCertificateRequest())
	if err != nil {
		return nil, err
	}
	if err := s.Store.IssuedCertificate(ctx, cluster, certificate); err != nil {
		return nil, err
	}
	return &spokev1.RenewResponse{Credentials: credentials}, nil
}

// issue makes a certificate of the cluster, which is good once it is recorded.
func (s *Server) issue(cluster string, request []byte) (*spokev1.Credentials, fleet.Certificate, error) {
	id, err := uuid.Parse(cluster)
	if err != nil {
		return nil, fleet.Certificate{}, err
	}
	issued, err := s.Authority.IssueClient(request, id, s.TrustDomain, s.CertificateTTL, time.Now())
	if err != nil {
		return nil, fleet.Certificate{}, err
	}
	return &spokev1.Credentials{
		Certificate: issued.DER,
		SigningKeys: []*spokev1.SigningKey{{Id: s.StateKey.ID, PublicKey: s.StateKey.Public}},
	}, fleet.Certificate{Serial: issued.Serial, IssuedAt: issued.NotBefore}, nil
}
