package session_test

import (
	"strings"
	"testing"

	"flotilla.dev/flotilla/hub/store"
	"flotilla.dev/flotilla/pkg/fleet"
	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
)

func TestWhateverASpokeCanBeAskedGoesDownItsStream(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	s := b.enrol("prod-1")
	session := s.connect(nil)
	kinds := map[string]string{} // of messages, to what was asked
	fields := (&spokev1.Question{}).ProtoReflect().Descriptor().Oneofs().ByName("ask").Fields()
	for _, what := range fleet.Asks {
		asked := fleet.Ask{What: what, App: appKey}
		if what == fleet.AskTrace {
			asked = fleet.Ask{What: what, Word: "pod", Namespace: "a", Name: "b"}
		}
		if what == fleet.AskGate {
			asked.Gate = &fleet.GateQuestion{App: appKey, Rollout: "ro-1", Release: fleet.DigestOf(nil)}
		}
		question, err := b.Ask(t.Context(), store.System, s.name, asked, patience)
		if err != nil {
			t.Fatal(err)
		}
		sent := session.question()
		field := sent.ProtoReflect().WhichOneof(fields.Get(0).ContainingOneof())
		if sent.GetId() != question.ID || field == nil {
			t.Fatalf("%s went down as %v", what, sent)
		}
		if other, twice := kinds[string(field.Name())]; twice {
			t.Errorf("%s and %s both go down as %s", other, what, field.Name())
		}
		kinds[string(field.Name())] = what
	}
	if len(kinds) != fields.Len() {
		t.Errorf("of %d questions that spokes take, %v are asked", fields.Len(), kinds)
	}
}

func TestQuestionThatCannotBeSentIsAnsweredSo(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	s := b.enrol("prod-1")
	s.connect(nil)
	question, err := b.Ask(t.Context(), store.System, s.name, fleet.Ask{What: "weather", App: appKey}, patience)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Store.Answer(t.Context(), question); err == nil || !strings.Contains(err.Error(), `does not know how to ask for "weather"`) {
		t.Errorf("error %v", err)
	}
}
