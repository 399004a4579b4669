package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/rpc"
	"flotilla.dev/flotilla/pkg/telemetry"
	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
)

const (
	// maxQuestions bounds the questions being answered; more are refused, and as many refusals are sent at once.
	maxQuestions = 4
	// maxAnswerTime bounds the work on an answer, whatever the question's deadline.
	maxAnswerTime = 5 * time.Minute
	// answerChunk bounds one message of an answer.
	answerChunk = 512 << 10
)

var errBusy = errors.New("the spoke answers as many questions as it can at once: ask again in a moment")

// question answers beside the stream, so that no question holds up the state.
func (r *round) question(ctx context.Context, question *spokev1.Question) {
	find, places := r.find, r.asked
	select {
	case places <- struct{}{}:
	default:
		find, places = func(context.Context, *spokev1.Question) ([]byte, error) { return nil, errBusy }, r.refused
		select {
		case places <- struct{}{}:
		default:
			r.log.Debug("too many questions at once; one is dropped", telemetry.KeyID, question.GetId())
			return
		}
	}
	r.answering.Go(func() {
		defer func() { <-places }()
		if err := r.answer(ctx, question, find); err != nil && ctx.Err() == nil {
			r.log.Debug("a question is not answered", telemetry.KeyID, question.GetId(), telemetry.KeyErr, rpc.FromStatus(err))
		}
	})
}

func (r *round) answer(ctx context.Context, question *spokev1.Question, find func(context.Context, *spokev1.Question) ([]byte, error)) error {
	deadline := time.Now().Add(maxAnswerTime)
	if at := question.GetDeadline(); at.IsValid() && at.AsTime().Before(deadline) {
		deadline = at.AsTime()
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	content, err := find(ctx, question)
	messages := []*spokev1.AnswerRequest{{}}
	if err != nil {
		messages[0].Error = clean(err.Error())
	} else {
		messages = messages[:0]
		for chunk := range slices.Chunk(content, answerChunk) {
			messages = append(messages, &spokev1.AnswerRequest{Chunk: chunk})
		}
	}
	messages[0].QuestionId = question.GetId()
	stream, err := r.hub.Answer(ctx)
	if err != nil {
		return err
	}
	for _, message := range messages {
		if err := stream.Send(message); err != nil {
			break // the reason comes with CloseAndRecv
		}
	}
	_, err = stream.CloseAndRecv()
	return err
}

// find finds the answer; it is never empty.
func (r *round) find(ctx context.Context, question *spokev1.Question) ([]byte, error) {
	ask, err := askFromWire(question)
	if err != nil {
		return nil, err
	}
	answer, err := r.client.Answer(ctx, ask)
	if err != nil {
		return nil, err
	}
	content, err := json.Marshal(answer)
	if err != nil {
		return nil, err
	}
	if len(content) > fleet.MaxAnswer {
		return nil, fmt.Errorf("%w: the answer has %d bytes, %d are allowed", fleet.ErrInvalid, len(content), fleet.MaxAnswer)
	}
	return content, nil
}

// askFromWire reads what is asked. A question that is younger than this spoke is none of those it knows.
func askFromWire(question *spokev1.Question) (ask fleet.Ask, err error) {
	key := ""
	switch q := question.GetAsk().(type) {
	case *spokev1.Question_HeldPrune:
		ask, key = fleet.Ask{What: fleet.AskHeldPrune}, q.HeldPrune.GetKey()
	case *spokev1.Question_Diff:
		ask, key = fleet.Ask{What: fleet.AskDiff, Drift: q.Diff.GetDrift(), Documents: q.Diff.GetDocuments()}, q.Diff.GetKey()
	case *spokev1.Question_DeclaredDiff:
		ask, key = fleet.Ask{What: fleet.AskDeclaredDiff, Documents: q.DeclaredDiff.GetDocuments()}, q.DeclaredDiff.GetKey()
		if ask.Terms, err = fleet.DecodeTerms(q.DeclaredDiff.GetTerms()); err != nil {
			return ask, err
		}
	case *spokev1.Question_Tree:
		ask, key = fleet.Ask{What: fleet.AskTree}, q.Tree.GetKey()
	case *spokev1.Question_Variables:
		ask, key = fleet.Ask{What: fleet.AskVariables}, q.Variables.GetKey()
	case *spokev1.Question_HelmValues:
		ask, key = fleet.Ask{What: fleet.AskHelmValues}, q.HelmValues.GetKey()
	case *spokev1.Question_HelmHistory:
		ask, key = fleet.Ask{What: fleet.AskHelmHistory}, q.HelmHistory.GetKey()
	case *spokev1.Question_RunCheck:
		ask, key = fleet.Ask{What: fleet.AskGate}, q.RunCheck.GetKey()
		if ask.Gate, err = fleet.DecodeGateQuestion(q.RunCheck.GetQuestion()); err != nil {
			return ask, err
		}
	case *spokev1.Question_Trace:
		return fleet.Ask{What: fleet.AskTrace, Word: q.Trace.GetWord(), Namespace: q.Trace.GetNamespace(), Name: q.Trace.GetName()}, nil
	default:
		return ask, fmt.Errorf("%w: this version of the spoke does not know the question", fleet.ErrInvalid)
	}
	ask.App, err = fleet.ParseKey(key)
	return ask, err
}
