package session

import (
	"fmt"
	"slices"

	"google.golang.org/grpc"

	"flotilla.dev/flotilla/pkg/fleet"
	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
)

// fetchChunk bounds one message of a pack, in bytes.
const fetchChunk = 512 << 10

// Fetch streams the Manifest that an Assignment generation of the caller's cluster names.
func (s *Server) Fetch(req *spokev1.FetchRequest, stream grpc.ServerStreamingServer[spokev1.FetchResponse]) error {
	ctx := stream.Context()
	app, err := keyOf(req.GetKey())
	if err != nil {
		return err
	}
	base, err := fleet.DigestFromBytes(req.GetBaseManifest())
	if err != nil {
		return err
	}
	if req.GetEpoch() > maxCount || req.GetGeneration() > maxCount {
		return fmt.Errorf("fetch: %w: epoch %d, generation %d", fleet.ErrInvalid, req.GetEpoch(), req.GetGeneration())
	}
	target, superseded, held, err := s.Store.FetchableManifest(ctx, callerOf(ctx).cluster, app, req.GetEpoch(), req.GetGeneration())
	if err != nil {
		return err
	}
	if superseded {
		return stream.Send(&spokev1.FetchResponse{Message: &spokev1.FetchResponse_Superseded{Superseded: &spokev1.Superseded{}}})
	}
	if !slices.Contains(held, base) {
		base = fleet.Digest{} // not one this cluster was given: everything is sent
	}
	pack, err := s.packs.get(ctx, base, target)
	if err != nil {
		return err
	}
	header := &spokev1.FetchHeader{BaseManifest: base.Bytes(), Size: uint64(len(pack))}
	if err := stream.Send(&spokev1.FetchResponse{Message: &spokev1.FetchResponse_Header{Header: header}}); err != nil {
		return err
	}
	for chunk := range slices.Chunk(pack, fetchChunk) {
		if err := stream.Send(&spokev1.FetchResponse{Message: &spokev1.FetchResponse_Chunk{Chunk: chunk}}); err != nil {
			return err
		}
	}
	s.metrics.packBytes.Add(float64(len(pack)))
	return nil
}
