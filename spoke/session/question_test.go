package session

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"flotilla.dev/flotilla/pkg/fleet"
	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
)

// put sends a question down the stream.
func (h *hub) put(question *spokev1.Question) {
	question.Deadline = timestamppb.New(time.Now().Add(time.Minute))
	h.down <- &spokev1.ConnectResponse{Message: &spokev1.ConnectResponse_Question{Question: question}}
}

func TestQuestionsReachTheOneWhoAnswersAsTheyWereAsked(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub, s *spoke) {
		s.asked = func(ask fleet.Ask) (any, error) { return json.RawMessage(ask.Encode()), nil }
		s.start(t, h)
		<-h.hellos
		known := map[string]bool{}
		key, terms := appKey(0).String(), fleet.Terms{Prune: true, PruneGuard: "3", ReleaseSpec: fleet.ReleaseSpec{Force: true}}
		gate := &fleet.GateQuestion{
			Gate: fleet.Gate{Analysis: &fleet.AnalysisGate{Query: "up", Min: new(1.0), Interval: fleet.Lasting(time.Minute)}},
			App:  appKey(0), Rollout: "ro-1", Wave: "canary", Phase: "After", Clusters: []string{"a"}, Cluster: "a",
		}
		for _, test := range []struct {
			question *spokev1.Question
			want     fleet.Ask
		}{
			{&spokev1.Question{Ask: &spokev1.Question_HeldPrune{HeldPrune: &spokev1.HeldPruneQuestion{Key: key}}}, fleet.Ask{What: fleet.AskHeldPrune, App: appKey(0)}},
			{&spokev1.Question{Ask: &spokev1.Question_Diff{Diff: &spokev1.DiffQuestion{Key: key, Drift: true, Documents: []byte("d")}}}, fleet.Ask{What: fleet.AskDiff, App: appKey(0), Drift: true, Documents: []byte("d")}},
			{&spokev1.Question{Ask: &spokev1.Question_DeclaredDiff{DeclaredDiff: &spokev1.DeclaredDiffQuestion{Key: key, Documents: []byte("d"), Terms: terms.Encode()}}}, fleet.Ask{What: fleet.AskDeclaredDiff, App: appKey(0), Documents: []byte("d"), Terms: terms}},
			{&spokev1.Question{Ask: &spokev1.Question_Tree{Tree: &spokev1.TreeQuestion{Key: key}}}, fleet.Ask{What: fleet.AskTree, App: appKey(0)}},
			{&spokev1.Question{Ask: &spokev1.Question_Variables{Variables: &spokev1.VariablesQuestion{Key: key}}}, fleet.Ask{What: fleet.AskVariables, App: appKey(0)}},
			{&spokev1.Question{Ask: &spokev1.Question_HelmValues{HelmValues: &spokev1.HelmValuesQuestion{Key: key}}}, fleet.Ask{What: fleet.AskHelmValues, App: appKey(0)}},
			{&spokev1.Question{Ask: &spokev1.Question_HelmHistory{HelmHistory: &spokev1.HelmHistoryQuestion{Key: key}}}, fleet.Ask{What: fleet.AskHelmHistory, App: appKey(0)}},
			{&spokev1.Question{Ask: &spokev1.Question_RunCheck{RunCheck: &spokev1.RunCheckQuestion{Key: key, Question: gate.Encode()}}}, fleet.Ask{What: fleet.AskGate, App: appKey(0), Gate: gate}},
			{&spokev1.Question{Ask: &spokev1.Question_Trace{Trace: &spokev1.TraceQuestion{Word: "pod", Namespace: "a", Name: "b"}}}, fleet.Ask{What: fleet.AskTrace, Word: "pod", Namespace: "a", Name: "b"}},
		} {
			h.put(test.question)
			if got, want := string((<-h.answers).GetChunk()), string(test.want.Encode()); got != want {
				t.Errorf("asked was %s, want %s", got, want)
			}
			known[test.want.What] = true
		}
		for _, what := range fleet.Asks {
			if !known[what] {
				t.Errorf("nothing is told of the question %q", what)
			}
		}
	})
}

func TestQuestionThatIsNotKnownIsAnsweredSo(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub, s *spoke) {
		s.start(t, h)
		<-h.hellos
		h.put(&spokev1.Question{Id: "newer"})
		if got := <-h.answers; got.GetQuestionId() != "newer" || !strings.Contains(got.GetError(), "does not know the question") {
			t.Errorf("answer %v", got)
		}
	})
}

func TestQuestionThatCannotBeReadIsAnsweredSo(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub, s *spoke) {
		s.asked = func(ask fleet.Ask) (any, error) {
			t.Errorf("asked was %+v", ask)
			return nil, nil
		}
		s.start(t, h)
		<-h.hellos
		check := &spokev1.RunCheckQuestion{Key: appKey(0).String(), Question: []byte("{")}
		h.put(&spokev1.Question{Id: "check", Ask: &spokev1.Question_RunCheck{RunCheck: check}})
		if got := <-h.answers; got.GetQuestionId() != "check" || got.GetError() == "" {
			t.Errorf("answer %v", got)
		}
	})
}

func TestQuestionBeyondTheBoundIsRefusedAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub, s *spoke) {
		begun, release := make(chan struct{}, maxQuestions), make(chan struct{})
		s.asked = func(fleet.Ask) (any, error) {
			begun <- struct{}{}
			<-release
			return "answer", nil
		}
		s.start(t, h)
		<-h.hellos
		tree := func(id string) *spokev1.Question {
			return &spokev1.Question{Id: id, Ask: &spokev1.Question_Tree{Tree: &spokev1.TreeQuestion{Key: appKey(0).String()}}}
		}
		for range maxQuestions {
			h.put(tree("first"))
			<-begun
		}
		h.put(tree("one more"))
		if got := <-h.answers; got.GetQuestionId() != "one more" || !strings.Contains(got.GetError(), "ask again in a moment") {
			t.Errorf("answer %v", got)
		}
		close(release)
		for range maxQuestions {
			if got := <-h.answers; string(got.GetChunk()) != `"answer"` {
				t.Errorf("answer %v", got)
			}
		}
	})
}
