package main

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"google.golang.org/grpc"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// pushed is what came to the fake hub.
type pushed struct {
	header *adminv1.PushHeader
	tree   *artifact.Tree
}

type fakeArtifacts struct {
	adminv1.UnimplementedArtifactsServiceServer
	*fakeHub
}

func (f *fakeArtifacts) Push(stream grpc.ClientStreamingServer[adminv1.PushRequest, adminv1.PushResponse]) error {
	var p pushed
	var archive bytes.Buffer
	for {
		request, err := stream.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if header := request.GetHeader(); header != nil {
			p.header = header
		}
		archive.Write(request.GetChunk())
	}
	h := p.header
	if h.GetRevision() == "refused" {
		return fmt.Errorf("push %s: %w: this revision is refused", h.GetName(), fleet.ErrInvalid)
	}
	var err error
	if p.tree, err = artifact.Unpack(context.Background(), &artifact.Memory{}, &archive, artifact.ExtractLimits{}, nil); err != nil {
		return err
	}
	f.mu.Lock()
	f.pushes = append(f.pushes, p)
	f.requests = append(f.requests, h)
	f.mu.Unlock()
	object := fmt.Sprintf(`{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":"ExternalArtifact","metadata":{"name":%q,"namespace":%q},"spec":{}}`, h.GetName(), h.GetNamespace())
	return stream.SendAndClose(&adminv1.PushResponse{Object: []byte(object), Change: adminv1.Change_CHANGE_CREATED, Revision: h.GetRevision(),
		Digest: p.tree.Digest().String(), Files: uint32(len(p.tree.Files)), Size: uint64(p.tree.Size())})
}
