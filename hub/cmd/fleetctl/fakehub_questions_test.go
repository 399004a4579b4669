package main

import (
	"encoding/json"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

type fakeQuestions struct {
	adminv1.UnimplementedQuestionsServiceServer
	*fakeHub
}

// Ask answers for each cluster, in parts, by what the test has put there: an error is that cluster's.
func (f *fakeQuestions) Ask(r *adminv1.AskRequest, stream grpc.ServerStreamingServer[adminv1.AskResponse]) error {
	f.mu.Lock()
	f.requests = append(f.requests, r)
	answers := f.answers
	f.mu.Unlock()
	for cluster, answer := range answers {
		if r.GetCluster() != "" && r.GetCluster() != cluster {
			continue
		}
		if err, isError := answer.(error); isError {
			if err := stream.Send(&adminv1.AskResponse{Cluster: cluster, Last: true, Error: err.Error(), Code: uint32(codes.Unavailable)}); err != nil {
				return err
			}
			continue
		}
		content, err := json.Marshal(answer)
		if err != nil {
			return err
		}
		for part := range slices.Chunk(content, 50) {
			if err := stream.Send(&adminv1.AskResponse{Cluster: cluster, Chunk: part}); err != nil {
				return err
			}
		}
		if err := stream.Send(&adminv1.AskResponse{Cluster: cluster, Last: true}); err != nil {
			return err
		}
	}
	return nil
}
