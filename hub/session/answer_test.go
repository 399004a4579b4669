package session_test

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
)

func TestAnswerReachesTheOneWhoAsked(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	s := b.enrol("prod-1")
	session := s.connect(nil)
	question, err := b.Ask(t.Context(), s.cluster, appKey, 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var asked *spokev1.Question
	for asked == nil {
		message, err := session.Recv()
		if err != nil {
			t.Fatal(err)
		}
		asked = message.GetQuestion()
	}
	if asked.GetId() != question.ID || asked.GetHeldPrune().GetKey() != appKey.String() {
		t.Fatalf("question %v", asked)
	}
	stranger := b.enrol("prod-2")
	for _, from := range []*spoke{stranger, s} {
		answer, err := from.Answer(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, chunk := range []string{"one", "two"} {
			if err := answer.Send(&spokev1.AnswerRequest{QuestionId: asked.GetId(), Chunk: []byte(chunk)}); err != nil {
				t.Fatal(err)
			}
		}
		_, err = answer.CloseAndRecv()
		if from == stranger {
			wantCode(t, err, codes.NotFound)
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if got, err := b.Store.Answer(t.Context(), question); err != nil || string(got) != "onetwo" {
		t.Errorf("answer %q, error %v", got, err)
	}
}
