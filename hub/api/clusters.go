package api

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/identity"
	"flotilla.dev/flotilla/pkg/resource"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// clusters registers clusters.
type clusters struct {
	adminv1.UnimplementedClustersServiceServer
	*Server
}

// How long a join token is good for.
const (
	defaultTokenTTL = time.Hour
	maxTokenTTL     = 24 * time.Hour
)

// Register makes a Cluster and a join token for it. A dry run gives no token away: it would be good for nothing.
func (s *clusters) Register(ctx context.Context, req *adminv1.RegisterRequest) (*adminv1.RegisterResponse, error) {
	ttl := cmp.Or(req.GetTtl().AsDuration(), defaultTokenTTL)
	if ttl < 0 || ttl > maxTokenTTL {
		return nil, fmt.Errorf("ttl %s: %w: a join token is good for at most %s", ttl, fleet.ErrInvalid, maxTokenTTL)
	}
	declared := &resource.Object{APIVersion: resource.Cluster.APIVersion, Kind: resource.Cluster.Name}
	declared.Metadata.Name, declared.Metadata.Labels = req.GetName(), req.GetLabels()
	raw, err := json.Marshal(declared)
	if err != nil {
		return nil, err
	}
	if declared, err = resource.Decode(raw); err != nil {
		return nil, err
	}
	id := uuid.NewString()
	token, secret := identity.NewJoinToken(id, s.Pin)
	stored, expires, err := s.Store.RegisterCluster(ctx, s.Caller(ctx), declared, fleet.JoinToken{ID: id, SecretHash: secret, TTL: ttl}, req.GetRejoin(), req.GetDryRun())
	if err != nil {
		return nil, err
	}
	if raw, err = json.Marshal(stored); err != nil {
		return nil, err
	}
	if req.GetDryRun() {
		token = ""
	}
	return &adminv1.RegisterResponse{Token: token, ExpiresAt: timestamppb.New(expires), SpokeAddress: s.SpokeAddress, Cluster: raw}, nil
}
