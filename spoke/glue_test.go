package spoke

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/apply"
	"flotilla.dev/flotilla/spoke/decrypt"
	"flotilla.dev/flotilla/spoke/deploy"
	"flotilla.dev/flotilla/spoke/session"
	"flotilla.dev/flotilla/spoke/worker"
)

var (
	anObject   = fleet.ObjectRef{Version: "v1", Kind: "ConfigMap", Namespace: "apps", Name: "a"}
	configMaps = schema.GroupResource{Resource: "configmaps"}
)

// stuck is what the API server says of an object in a namespace that is being terminated.
func stuck() error {
	err := apierrors.NewForbidden(configMaps, "a", errors.New("unable to create new content in namespace apps because it is being terminated"))
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	return err
}

func TestAssignmentStaysInPlaceWhileTheStateHasTheSame(t *testing.T) {
	t.Parallel()
	key := fleet.Key{Home: fleet.HubHome, Kind: "Kustomization", Namespace: "apps", Name: "a"}
	encoded := func(generation uint64) []byte {
		return fleet.Assignment{App: key, State: fleet.Active, Generation: generation, Release: fleet.Release{App: key}}.Encode()
	}
	state := func(epoch, generation uint64) session.State {
		return session.State{ID: fleet.StateID{Epoch: epoch}, Items: fleet.Desired{key.String(): encoded(generation)}}
	}
	kept := session.State{Kept: map[string]session.Kept{key.String(): {Epoch: 2, Assignment: encoded(2)}}}
	r := &reader{log: slog.New(slog.DiscardHandler)}
	var before *worker.Assigned
	for _, step := range []struct {
		state      session.State
		epoch      uint64
		generation uint64
		kept, same bool
	}{
		{state(1, 1), 1, 1, false, false},
		{state(1, 1), 1, 1, false, true},
		{state(1, 2), 1, 2, false, false},
		{state(2, 2), 2, 2, false, false},
		{kept, 2, 2, true, false},
		{kept, 2, 2, true, true},
		{state(2, 2), 2, 2, false, false},
	} {
		now := r.assignments(step.state)[key]
		if now == nil || now.Epoch != step.epoch || now.Generation != step.generation || now.Kept != step.kept || now.Err != nil {
			t.Fatalf("read %+v", now)
		}
		if same := now == before; same != step.same {
			t.Errorf("%+v is in place: %t", step, same)
		}
		before = now
	}
	if left := r.assignments(session.State{}); len(left) != 0 {
		t.Errorf("of an empty state came %v", left)
	}
}

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
		"a decryption key that is missing":  {fmt.Errorf("%w: spec.decryption.secretRef: %w", deploy.ErrResolve, fleet.ErrNotFound), false, fleet.ReasonBuildFailed},
		"a decryption key that is wrong":    {fmt.Errorf("%w: %w", deploy.ErrResolve, decrypt.ErrNoKey), false, fleet.ReasonBuildFailed},
		"a ciphertext that was tampered":    {fmt.Errorf("%w: %w", deploy.ErrResolve, decrypt.ErrDamaged), false, fleet.ReasonBuildFailed},
		"an expression that is none":        {fmt.Errorf("%w: %w", deploy.ErrExpression, fleet.ErrInvalid), false, fleet.ReasonInvalidExpression},
		"a webhook that rejects":            {apply.Explain(anObject, "dry-run", apierrors.NewForbidden(configMaps, "a", errors.New("admission webhook denied the request"))), false, ""},
		"a namespace that is stuck":         {apply.Explain(anObject, "dry-run", stuck()), false, ""},
		"a kind that is not there":          {fmt.Errorf("Gadget/apps/a: %w", fleet.ErrNotFound), false, ""},
		"a write at the same time":          {apply.Explain(anObject, "apply", apierrors.NewConflict(configMaps, "a", errors.New("written meanwhile"))), true, ""},
		"a deletion refused":                {fmt.Errorf("%w: %w", deploy.ErrPrune, fleet.ErrDenied), false, fleet.ReasonPruneFailed},
	} {
		var failure *worker.Failure
		if err := explain(test.err); !errors.As(err, &failure) || failure.Transient != test.transient || failure.Reason != test.reason {
			t.Errorf("%s: it is %+v", name, err)
		}
	}
}
