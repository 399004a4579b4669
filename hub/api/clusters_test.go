package api_test

import (
	"testing"

	"google.golang.org/grpc/codes"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func TestRegisterRefusesToChangeTheLabelsOfAClusterThatIsThere(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	clusters := adminv1.NewClustersServiceClient(b.conn)
	b.apply(clusterYAML("prod-1", "prod"))
	for _, labels := range []map[string]string{nil, {"tier": "prod"}} {
		if _, err := clusters.Register(b.ctx, &adminv1.RegisterRequest{Name: "prod-1", Labels: labels}); err != nil {
			t.Errorf("with labels %v: %v", labels, err)
		}
	}
	_, err := clusters.Register(b.ctx, &adminv1.RegisterRequest{Name: "prod-1", Labels: map[string]string{"tier": "canary"}})
	wantCode(t, err, codes.FailedPrecondition, "Cluster/prod-1: conflict: it is there with other labels (tier=prod): apply the Cluster to change them, or register it without --label")
}
