package spoke

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/pkg/check"
	"flotilla.dev/flotilla/pkg/fleet"
)

// gate asks what a gate of a Rollout asks in this cluster.
func (a *answers) gate(ctx context.Context, question *fleet.GateQuestion) (fleet.GateAnswer, error) {
	if question == nil {
		return fleet.GateAnswer{}, fmt.Errorf("%w: the gate's question is empty", fleet.ErrInvalid)
	}
	return check.Asker{Client: check.NewClient, Secret: a.secret}.Ask(ctx, *question), nil
}

// secret is the content of a Secret, by the spoke's own rights: a RolloutPolicy is the fleet's, as the spoke is.
func (c *cluster) secret(ctx context.Context, ref fleet.NamespacedRef) (map[string][]byte, error) {
	name := "Secret/" + ref.Namespace + "/" + ref.Name
	secret, err := c.anySecrets(ref.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("%s: %w", name, fleet.ErrNotFound)
	case apierrors.IsForbidden(err):
		return nil, fmt.Errorf("%s: %w", name, fleet.ErrDenied)
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return secret.Data, nil
}
