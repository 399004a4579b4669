package rpc

import (
	"context"

	"google.golang.org/grpc"
)

// Authorize decides whether a call of a method, by its full name, may go on. The context that it returns is the
// handler's, and tells it who calls; an error is the call's.
type Authorize func(ctx context.Context, method string) (context.Context, error)

func (a Authorize) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	ctx, err := a(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	return handler(ctx, req)
}

func (a Authorize) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx, err := a(stream.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	return handler(srv, &authorized{ServerStream: stream, context: ctx})
}

// authorized is a stream with the context that Authorize returned.
type authorized struct {
	grpc.ServerStream
	context context.Context
}

// Context returns the context that Authorize returned.
func (a *authorized) Context() context.Context { return a.context }
