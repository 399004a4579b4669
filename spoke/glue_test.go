package spoke

import (
	"context"
	"errors"
	"fmt"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/deploy"
	"flotilla.dev/flotilla/spoke/worker"
)

func TestWhatMayPassByItselfIsTriedAgainSoon(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err       error
		transient bool
		reason    string
	}{
		"somebody else wrote the inventory": {fmt.Errorf("save inventory: %w: somebody else wrote it", fleet.ErrConflict), true, ""},
		"the API server is busy":            {apierrors.NewTooManyRequests("busy", 1), true, ""},
		"a webhook does not answer":         {apierrors.NewInternalError(errors.New("failed calling webhook: context deadline exceeded")), true, ""},
		"an account that may not":           {fmt.Errorf("dry-run: %w: cannot patch", fleet.ErrDenied), false, ""},
		"the way is cut off":                {fmt.Errorf("get: %w", context.DeadlineExceeded), true, ""},
		"a Flux manages the App":            {fmt.Errorf("deploy: %w", deploy.ErrManagedByFlux), false, fleet.ReasonManagedByFlux},
		"an invalid object":                 {fmt.Errorf("apply: %w", fleet.ErrInvalid), false, ""},
		"a variable that is not set":        {fmt.Errorf("%w: %w", deploy.ErrResolve, fleet.ErrInvalid), false, fleet.ReasonBuildFailed},
		"variables that cannot be read":     {fmt.Errorf("%w: %w", deploy.ErrResolve, apierrors.NewTooManyRequests("busy", 1)), true, fleet.ReasonBuildFailed},
		"a deletion refused":                {fmt.Errorf("%w: %w", deploy.ErrPrune, fleet.ErrDenied), false, fleet.ReasonPruneFailed},
	} {
		var failure *worker.Failure
		if err := explain(test.err); !errors.As(err, &failure) || failure.Transient != test.transient || failure.Reason != test.reason {
			t.Errorf("%s: it is %+v", name, err)
		}
	}
}
