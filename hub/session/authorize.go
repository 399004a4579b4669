package session

import (
	"context"
	"errors"
	"fmt"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/identity"
	"flotilla.dev/flotilla/pkg/rpc"
	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
)

// who may call a method.
type who int

const (
	anybody who = iota + 1
	// knownSpoke: the certificate of a cluster that is in the database.
	knownSpoke
	// anySpoke: a good certificate; the cluster may be missing in the database.
	anySpoke
)

// methods is the authorization table; what does not stand here is denied.
var methods = map[string]who{
	spokev1.SpokeService_Enroll_FullMethodName:  anybody,
	spokev1.SpokeService_Renew_FullMethodName:   knownSpoke,
	spokev1.SpokeService_Connect_FullMethodName: anySpoke,
	spokev1.SpokeService_Report_FullMethodName:  knownSpoke,
	spokev1.SpokeService_Answer_FullMethodName:  knownSpoke,
	spokev1.SpokeService_Fetch_FullMethodName:   knownSpoke,
}

// caller is the cluster whose certificate the call came with.
type caller struct {
	cluster string
	serial  string
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
	if allowed == anybody {
		return ctx, nil
	}
	certificate, err := rpc.PeerCertificate(ctx)
	if err != nil {
		return nil, err
	}
	cluster, err := identity.ParseClusterID(certificate, s.TrustDomain)
	if err != nil {
		return nil, err
	}
	c := caller{cluster: cluster.String(), serial: identity.Serial(certificate), known: true}
	_, err = s.Store.Admit(ctx, c.cluster, c.serial)
	switch {
	case errors.Is(err, fleet.ErrNotFound) && allowed == anySpoke:
		c.known = false
	case errors.Is(err, fleet.ErrNotFound):
		return nil, fmt.Errorf("%w: %w: connect first", fleet.ErrConflict, err)
	case err != nil:
		return nil, err
	}
	return context.WithValue(ctx, callerKey{}, c), nil
}
