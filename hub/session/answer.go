package session

import (
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"

	"flotilla.dev/flotilla/pkg/fleet"
	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
)

// Answer stores the answer to one question.
func (s *Server) Answer(stream grpc.ClientStreamingServer[spokev1.AnswerRequest, spokev1.AnswerResponse]) error {
	var id, problem string
	var answer []byte
	for {
		req, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if id == "" {
			id = req.GetQuestionId()
		}
		if req.GetError() != "" {
			problem = clip(req.GetError(), maxText)
		}
		answer = append(answer, req.GetChunk()...)
		if len(answer) > fleet.MaxAnswer {
			return fmt.Errorf("answer: %w: it has more than %d bytes", fleet.ErrInvalid, fleet.MaxAnswer)
		}
	}
	if err := s.Store.StoreAnswer(stream.Context(), callerOf(stream.Context()).cluster, id, answer, problem); err != nil {
		return err
	}
	return stream.SendAndClose(&spokev1.AnswerResponse{})
}
