package session_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc/codes"

	"flotilla.dev/flotilla/hub/store"
	"flotilla.dev/flotilla/pkg/fleet"
	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
)

// ask asks the spoke's cluster and returns the question once the spoke has it.
func (b *bundle) ask(s *spoke, session *stream) fleet.Question {
	b.t.Helper()
	question, err := b.Ask(b.t.Context(), store.System, s.name, fleet.Ask{What: fleet.AskHeldPrune, App: appKey}, patience)
	if err != nil {
		b.t.Fatal(err)
	}
	if asked := session.question(); asked.GetId() != question.ID || asked.GetHeldPrune().GetKey() != appKey.String() {
		b.t.Fatalf("question %v", asked)
	}
	return question
}

// question waits for the next one that comes down.
func (s *stream) question() *spokev1.Question {
	s.t.Helper()
	late := time.AfterFunc(patience, s.cancel)
	defer late.Stop()
	for {
		message, err := s.Recv()
		if err != nil {
			s.t.Fatal(err)
		}
		if asked := message.GetQuestion(); asked != nil {
			return asked
		}
	}
}

// answer sends an answer in chunks.
func (s *spoke) answer(question string, chunks ...[]byte) error {
	stream, err := s.Answer(s.t.Context())
	if err != nil {
		return err
	}
	for _, chunk := range chunks {
		if err := stream.Send(&spokev1.AnswerRequest{QuestionId: question, Chunk: chunk}); err != nil {
			break // the hub has ended the stream; why, says its status
		}
	}
	_, err = stream.CloseAndRecv()
	return err
}

// stored is what the database holds of questions.
func (b *bundle) stored() (rows int, answers []byte) {
	b.t.Helper()
	conn, err := pgx.Connect(b.t.Context(), b.url)
	if err != nil {
		b.t.Fatal(err)
	}
	defer conn.Close(b.t.Context())
	if err := conn.QueryRow(b.t.Context(), `SELECT count(*), coalesce(string_agg(answer, ''), '') FROM question`).Scan(&rows, &answers); err != nil {
		b.t.Fatal(err)
	}
	return rows, answers
}

func TestAnswerReachesTheOneWhoAskedSealedAndOnce(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	s := b.enrol("prod-1")
	question := b.ask(s, s.connect(nil))
	if err := s.answer(question.ID, []byte("pass"), []byte("word")); err != nil {
		t.Fatal(err)
	}
	if rows, sealed := b.stored(); rows != 1 || len(sealed) == 0 || bytes.Contains(sealed, []byte("password")) {
		t.Errorf("%d rows hold %q", rows, sealed)
	}
	if got, err := b.Store.Answer(t.Context(), question); err != nil || string(got) != "password" {
		t.Errorf("answer %q, error %v", got, err)
	}
	if rows, _ := b.stored(); rows != 0 {
		t.Errorf("%d rows are left after the answer was read", rows)
	}
}

func TestAnswerThatIsTooLargeOrTooLateIsRefused(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	s := b.enrol("prod-1")
	question := b.ask(s, s.connect(nil))
	half := bytes.Repeat([]byte("x"), fleet.MaxAnswer/2)
	wantCode(t, s.answer(question.ID, half, half, []byte("x")), codes.InvalidArgument)
	if err := s.answer(question.ID, half, half); err != nil {
		t.Errorf("the largest: %v", err)
	}
	wantCode(t, s.answer(question.ID, []byte("again")), codes.NotFound)
	late, err := b.Ask(t.Context(), store.System, s.name, fleet.Ask{What: fleet.AskHeldPrune, App: appKey}, -time.Second)
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, s.answer(late.ID, []byte("late")), codes.NotFound)
	wantCode(t, s.answer("no id", []byte("x")), codes.NotFound)
}
