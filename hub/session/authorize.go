package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/identity"
	"flotilla.dev/flotilla/pkg/rpc"
	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
)

// rule says who may call a method.
type rule struct {
	// anybody: without a certificate too.
	anybody bool
	// unknown: the cluster may be missing in the database.
	unknown bool
	// expired: the certificate may have run out, within MaxOffline.
	expired bool
}

// methods is the authorization table; what does not stand here is denied. With the zero rule, a cluster that is in the
// database may call, with the certificate in use or the newest issued.
var methods = map[string]rule{
	spokev1.SpokeService_Enroll_FullMethodName:  {anybody: true},
	spokev1.SpokeService_Renew_FullMethodName:   {unknown: true, expired: true},
	spokev1.SpokeService_Connect_FullMethodName: {unknown: true},
	spokev1.SpokeService_Report_FullMethodName:  {},
	spokev1.SpokeService_Answer_FullMethodName:  {},
	spokev1.SpokeService_Fetch_FullMethodName:   {},
}

// caller is the cluster whose certificate the call came with.
type caller struct {
	cluster     string
	certificate fleet.Certificate
	expires     time.Time
	// known: the cluster is in the database.
	known bool
}

type callerKey struct{}

func callerOf(ctx context.Context) caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c
}

// Authorize authorizes the calls of spokes.
func (s *Server) Authorize(ctx context.Context, method string) (context.Context, error) {
	allowed, listed := methods[method]
	if !listed {
		return nil, fmt.Errorf("method %s: %w", method, fleet.ErrDenied)
	}
	if allowed.anybody {
		return ctx, nil
	}
	c, err := s.identify(ctx, allowed)
	if err != nil {
		return nil, err
	}
	err = s.Store.Admit(ctx, c.cluster, c.certificate)
	switch {
	case errors.Is(err, fleet.ErrNotFound) && allowed.unknown:
		c.known = false
	case errors.Is(err, fleet.ErrNotFound):
		return nil, fmt.Errorf("%w: %w: connect first", fleet.ErrConflict, err)
	case err != nil:
		return nil, err
	}
	return context.WithValue(ctx, callerKey{}, c), nil
}

// identify reads who calls from the certificate. It verifies the certificate itself: a listener that let in too many
// would otherwise be all that stands between a stranger and a cluster.
func (s *Server) identify(ctx context.Context, allowed rule) (caller, error) {
	certificate, err := rpc.PeerCertificate(ctx)
	if err != nil {
		return caller{}, err
	}
	now := time.Now()
	if err := s.Authority.VerifyClient(certificate, now); err != nil {
		return caller{}, err
	}
	cluster, err := identity.ParseClusterID(certificate, s.TrustDomain)
	if err != nil {
		return caller{}, err
	}
	expires := certificate.NotAfter
	switch {
	case now.After(expires.Add(s.MaxOffline)):
		return caller{}, fmt.Errorf("cluster %s: %w: its certificate ran out at %s and could be renewed for %s: it needs a new join token (fleetctl cluster register NAME --rejoin)",
			cluster, fleet.ErrDenied, expires.Format(time.RFC3339), s.MaxOffline)
	case now.After(expires) && !allowed.expired:
		return caller{}, errExpired(expires)
	}
	return caller{
		cluster: cluster.String(), expires: expires, known: true,
		certificate: fleet.Certificate{Serial: identity.Serial(certificate), IssuedAt: certificate.NotBefore},
	}, nil
}

func errExpired(at time.Time) error {
	return fmt.Errorf("%w: the certificate ran out at %s: renew it", fleet.ErrUnauthenticated, at.Format(time.RFC3339))
}
