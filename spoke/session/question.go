package session

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/rpc"
	"flotilla.dev/flotilla/pkg/telemetry"
	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
)

const (
	// maxQuestions bounds the questions being answered; more are dropped, which whoever asks must expect.
	maxQuestions = 4
	// answerChunk bounds one message of an answer.
	answerChunk = 512 << 10
)

// question answers beside the stream, so that no question holds up the state.
func (r *round) question(ctx context.Context, question *spokev1.Question) {
	select {
	case r.asked <- struct{}{}:
	default:
		r.log.Debug("too many questions at once; one is dropped", telemetry.KeyID, question.GetId())
		return
	}
	r.answering.Go(func() {
		defer func() { <-r.asked }()
		if err := r.answer(ctx, question); err != nil && ctx.Err() == nil {
			r.log.Debug("a question is not answered", telemetry.KeyID, question.GetId(), telemetry.KeyErr, rpc.FromStatus(err))
		}
	})
}

func (r *round) answer(ctx context.Context, question *spokev1.Question) error {
	deadline := time.Now().Add(callTimeout)
	if at := question.GetDeadline(); at.IsValid() && at.AsTime().Before(deadline) {
		deadline = at.AsTime()
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	stream, err := r.hub.Answer(ctx)
	if err != nil {
		return err
	}
	messages := []*spokev1.AnswerRequest{{}}
	if content, err := r.client.ask(question); err != nil {
		messages[0].Error = clean(err.Error())
	} else {
		messages = messages[:0]
		for chunk := range slices.Chunk(content, answerChunk) {
			messages = append(messages, &spokev1.AnswerRequest{Chunk: chunk})
		}
	}
	messages[0].QuestionId = question.GetId()
	for _, message := range messages {
		if err := stream.Send(message); err != nil {
			break // the reason comes with CloseAndRecv
		}
	}
	_, err = stream.CloseAndRecv()
	return err
}

// ask finds the answer; it is never empty.
func (c *Client) ask(question *spokev1.Question) ([]byte, error) {
	held := question.GetHeldPrune()
	if held == nil {
		return nil, fmt.Errorf("%w: this version of the spoke does not know the question", fleet.ErrInvalid)
	}
	app, err := fleet.ParseKey(held.GetKey())
	if err != nil {
		return nil, err
	}
	refs := c.Held(app)
	if refs == nil {
		refs = []fleet.ObjectRef{}
	}
	content, err := json.Marshal(refs)
	if err != nil {
		return nil, err
	}
	if len(content) > fleet.MaxAnswer {
		return nil, fmt.Errorf("%w: the answer has %d bytes, %d are allowed", fleet.ErrInvalid, len(content), fleet.MaxAnswer)
	}
	return content, nil
}
