// Package auth says who calls the admin API and what they may do. There is one role so far: whoever has an admin token
// may do everything that the method table lists.
package auth

import (
	"context"
	"fmt"

	"google.golang.org/grpc"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/identity"
	"flotilla.dev/flotilla/pkg/rpc"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// methods are those of the admin API that an administrator may call; what does not stand here is denied.
var methods = map[string]bool{
	adminv1.ObjectsService_Apply_FullMethodName:     true,
	adminv1.ObjectsService_Get_FullMethodName:       true,
	adminv1.ObjectsService_List_FullMethodName:      true,
	adminv1.ObjectsService_Watch_FullMethodName:     true,
	adminv1.ObjectsService_Delete_FullMethodName:    true,
	adminv1.AppsService_Reconcile_FullMethodName:    true,
	adminv1.AppsService_Suspend_FullMethodName:      true,
	adminv1.AppsService_Resume_FullMethodName:       true,
	adminv1.ClustersService_Register_FullMethodName: true,
	adminv1.EventsService_List_FullMethodName:       true,
	adminv1.EventsService_Watch_FullMethodName:      true,
	adminv1.PrunesService_Show_FullMethodName:       true,
	adminv1.PrunesService_Approve_FullMethodName:    true,
	adminv1.HubService_Version_FullMethodName:       true,
	adminv1.HubService_Status_FullMethodName:        true,
	adminv1.HubService_Recover_FullMethodName:       true,
}

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

// Unary authorizes unary calls.
func (g *Guard) Unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	ctx, err := g.authorize(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	return handler(ctx, req)
}

// Stream authorizes streaming calls.
func (g *Guard) Stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx, err := g.authorize(stream.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	return handler(srv, &authorized{ServerStream: stream, context: ctx})
}

// authorized is a stream whose context holds the caller.
type authorized struct {
	grpc.ServerStream
	context context.Context
}

// Context returns the context that holds the caller.
func (a *authorized) Context() context.Context { return a.context }

func (g *Guard) authorize(ctx context.Context, method string) (context.Context, error) {
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
