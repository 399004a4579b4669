// Package auth says who calls the admin API and what they may do. There is one role so far: whoever has an admin token
// may do everything that the method table lists.
package auth

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/identity"
	"flotilla.dev/flotilla/pkg/rpc"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// methods are those of the admin API that an administrator may call; what does not stand here is denied.
var methods = map[string]bool{
	adminv1.ObjectsService_Apply_FullMethodName:                true,
	adminv1.ObjectsService_Get_FullMethodName:                  true,
	adminv1.ObjectsService_List_FullMethodName:                 true,
	adminv1.ObjectsService_Watch_FullMethodName:                true,
	adminv1.ObjectsService_Delete_FullMethodName:               true,
	adminv1.AppsService_Reconcile_FullMethodName:               true,
	adminv1.AppsService_Suspend_FullMethodName:                 true,
	adminv1.AppsService_Resume_FullMethodName:                  true,
	adminv1.AppsService_History_FullMethodName:                 true,
	adminv1.ClustersService_Register_FullMethodName:            true,
	adminv1.EventsService_List_FullMethodName:                  true,
	adminv1.EventsService_Watch_FullMethodName:                 true,
	adminv1.PrunesService_Show_FullMethodName:                  true,
	adminv1.PrunesService_Approve_FullMethodName:               true,
	adminv1.QuestionsService_Ask_FullMethodName:                true,
	adminv1.ArtifactsService_Push_FullMethodName:               true,
	adminv1.RolloutsService_PlanRollout_FullMethodName:         true,
	adminv1.RolloutsService_StartRollout_FullMethodName:        true,
	adminv1.RolloutsService_GetRollout_FullMethodName:          true,
	adminv1.RolloutsService_ListRollouts_FullMethodName:        true,
	adminv1.RolloutsService_ListRolloutClusters_FullMethodName: true,
	adminv1.RolloutsService_ListNotTargeted_FullMethodName:     true,
	adminv1.RolloutsService_WatchRollout_FullMethodName:        true,
	adminv1.RolloutsService_PauseRollout_FullMethodName:        true,
	adminv1.RolloutsService_ResumeRollout_FullMethodName:       true,
	adminv1.RolloutsService_DecideGate_FullMethodName:          true,
	adminv1.RolloutsService_SkipGate_FullMethodName:            true,
	adminv1.RolloutsService_RetryClusters_FullMethodName:       true,
	adminv1.RolloutsService_SkipClusters_FullMethodName:        true,
	adminv1.RolloutsService_Rollback_FullMethodName:            true,
	adminv1.RolloutsService_CancelRollout_FullMethodName:       true,
	adminv1.RolloutsService_GetFreeze_FullMethodName:           true,
	adminv1.RolloutsService_Freeze_FullMethodName:              true,
	adminv1.RolloutsService_Unfreeze_FullMethodName:            true,
	adminv1.RolloutsService_ListTargets_FullMethodName:         true,
	adminv1.HubService_Version_FullMethodName:                  true,
	adminv1.HubService_Status_FullMethodName:                   true,
	adminv1.HubService_Recover_FullMethodName:                  true,
}

// Methods are those that anybody may call at all, in order.
func Methods() []string { return slices.Sorted(maps.Keys(methods)) }

// Principals knows whose a bearer token is: fleet.ErrUnauthenticated, nobody's.
type Principals interface {
	Principal(ctx context.Context, tokenHash fleet.Digest) (string, error)
}

// Guard authorizes the calls of the admin API.
type Guard struct{ principals Principals }

// New returns a Guard.
func New(principals Principals) *Guard { return &Guard{principals: principals} }

type callerKey struct{}

// Caller is who makes the call that ctx is of.
func Caller(ctx context.Context) fleet.Caller {
	caller, _ := ctx.Value(callerKey{}).(fleet.Caller)
	return caller
}

// Authorize authorizes the calls of the admin API.
func (g *Guard) Authorize(ctx context.Context, method string) (context.Context, error) {
	token := rpc.BearerToken(ctx)
	if token == "" {
		return nil, fmt.Errorf("%w: this call needs a bearer token", fleet.ErrUnauthenticated)
	}
	principal, err := g.principals.Principal(ctx, identity.HashToken(token))
	if err != nil {
		return nil, err
	}
	if !methods[method] {
		return nil, fmt.Errorf("method %s: %w", method, fleet.ErrDenied)
	}
	return context.WithValue(ctx, callerKey{}, fleet.Caller{Principal: principal}), nil
}
