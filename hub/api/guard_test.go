package api_test

import (
	"context"
	"fmt"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"flotilla.dev/flotilla/pkg/identity"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// invoke calls a method of any kind with an empty request and returns what its first answer, or its end, says.
func (b *bundle) invoke(ctx context.Context, method protoreflect.MethodDescriptor) error {
	b.t.Helper()
	name := fmt.Sprintf("/%s/%s", method.Parent().FullName(), method.Name())
	if !method.IsStreamingServer() {
		return b.conn.Invoke(ctx, name, &adminv1.VersionRequest{}, &adminv1.VersionResponse{})
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := b.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, name)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := stream.SendMsg(&adminv1.VersionRequest{}); err != nil {
		b.t.Fatal(err)
	}
	if err := stream.CloseSend(); err != nil {
		b.t.Fatal(err)
	}
	return stream.RecvMsg(&adminv1.VersionResponse{})
}

func TestEveryMethodNeedsATokenOfThisHubAndHasARow(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	foreign, _ := identity.NewAdminToken()
	wrong := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+foreign)
	streams := 0
	protoregistry.GlobalFiles.RangeFilesByPackage("flotilla.admin.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				method := methods.Get(j)
				if method.IsStreamingServer() {
					streams++
				}
				wantCode(t, b.invoke(t.Context(), method), codes.Unauthenticated, "bearer token")
				wantCode(t, b.invoke(wrong, method), codes.Unauthenticated, "not known to this hub")
				switch err := b.invoke(b.ctx, method); status.Code(err) {
				case codes.Unauthenticated, codes.PermissionDenied, codes.Unimplemented:
					t.Errorf("%s with a token: %v", method.FullName(), err)
				}
			}
		}
		return true
	})
	if streams != 4 {
		t.Errorf("%d methods are streams, want the three Watches and Ask", streams)
	}
}
