package rpc_test

import (
	"context"
	"fmt"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/rpc"
	"flotilla.dev/flotilla/pkg/rpc/rpctest"
)

type who struct{}

func TestHandlerRunsInTheContextOfWhoeverAuthorizedTheCallAndNotOtherwise(t *testing.T) {
	t.Parallel()
	const refused = healthv1.Health_List_FullMethodName
	authorize := func(ctx context.Context, method string) (context.Context, error) {
		if method == refused {
			return nil, fmt.Errorf("%w: not %s", fleet.ErrDenied, method)
		}
		return context.WithValue(ctx, who{}, "caller of "+method), nil
	}
	want := func(ctx context.Context, method string) error {
		if got := ctx.Value(who{}); got != "caller of "+method {
			return fmt.Errorf("%w: the handler is told that %v calls", fleet.ErrInvalid, got)
		}
		return nil
	}
	handlers := service{
		check: func(ctx context.Context) error { return want(ctx, healthv1.Health_Check_FullMethodName) },
		watch: func(stream grpc.ServerStream) error {
			if err := want(stream.Context(), healthv1.Health_Watch_FullMethodName); err != nil {
				return err
			}
			return stream.SendMsg(&healthv1.HealthCheckResponse{})
		},
	}
	client := healthv1.NewHealthClient(rpctest.Serve(t, rpc.ServerConfig{Authorize: authorize}, handlers.register).Dial(t, rpc.DialConfig{}))
	if _, err := client.Check(t.Context(), &healthv1.HealthCheckRequest{}); err != nil {
		t.Errorf("Check: %v", err)
	}
	stream, err := client.Watch(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Errorf("Watch: %v", err)
	}
	if _, err := client.List(t.Context(), &healthv1.HealthListRequest{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("List: %v, want it refused", err)
	}
}
