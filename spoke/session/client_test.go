package session

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/rpc/rpctest"
	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
)

var errLostAnswer = status.Error(codes.Unavailable, "the answer was lost")

// bubble runs a test in its own time, with a hub and a spoke that has its token.
func bubble(t *testing.T, test func(t *testing.T, h *hub, s *spoke)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		test(t, h, newSpoke(h.token))
	})
}

// nextEvents are those of the next request that has some.
func (h *hub) nextEvents(t *testing.T) []*spokev1.Event {
	t.Helper()
	for {
		select {
		case request := <-h.reports:
			if events := request.GetEvents(); len(events) > 0 {
				return events
			}
		case <-time.After(10 * time.Minute):
			t.Fatal("no events")
		}
	}
}

// report is the next one that says something of the App.
func (h *hub) nextReport(t *testing.T, app fleet.Key) (*spokev1.ReportRequest, *spokev1.AssignmentReport) {
	t.Helper()
	for {
		select {
		case request := <-h.reports:
			for _, r := range request.GetReports() {
				if r.GetKey() == app.String() {
					return request, r
				}
			}
		case <-time.After(10 * time.Minute):
			t.Fatalf("no report of %s", app)
		}
	}
}

// welcomed waits until the hub takes the spoke's certificate, which one that it refuses keeps on trying.
func (h *hub) welcomed(t *testing.T, s *spoke) {
	t.Helper()
	select {
	case <-h.hellos:
	case <-time.After(10 * time.Minute):
		t.Fatalf("the hub did not take the certificate:\n%s", s.log)
	}
}

func TestSpokeEnrolsConnectsAndFollowsTheState(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub, s *spoke) {
		s.start(t, h)
		hello := <-h.hellos
		if hello.GetState() != nil || hello.GetClusterName() != "prod-1" || hello.GetFacts().GetKubeSystemUid() != "uid" {
			t.Errorf("hello = %v", hello)
		}
		first := h.set(desired(1, 1))
		h.send(h.message(fleet.StateID{}, first, 2))
		if got := <-s.accepted; got.ID != first || len(got.Items) != 2 {
			t.Errorf("accepted %s with %d items", got.ID, len(got.Items))
		}
		second := h.set(desired(2, 1))
		h.send(h.message(first, second, 1))
		if got := <-s.accepted; got.ID != second {
			t.Errorf("accepted %s, want %s", got.ID, second)
		}
		for {
			request := <-h.reports
			if id, err := stateFromWire(request.GetAcknowledged()); err == nil && id == second {
				break
			}
		}
		synctest.Wait()
		if mine, _ := s.store.Load(t.Context()); mine.Mark.Compare(second) != 0 {
			t.Errorf("the mark kept is %s, want %s", mine.Mark, second)
		}
	})
}

func TestRestartedSpokeGoesOnWithoutTheHubAndSaysWhatItHolds(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub, s *spoke) {
		s.start(t, h)
		<-h.hellos
		first := h.set(desired(1))
		h.send(h.message(fleet.StateID{}, first, 1))
		<-s.accepted
		synctest.Wait()
		if err := s.stop(); err != nil {
			t.Errorf("Run = %v, want nil when stopped", err)
		}
		h.fail(&h.failConnect, errLostAnswer, errLostAnswer)
		s.start(t, h)
		if got := <-s.accepted; got.ID != first {
			t.Errorf("from disk came %s, want %s", got.ID, first)
		}
		for range 3 {
			if got, err := stateFromWire((<-h.hellos).GetState()); err != nil || got != first {
				t.Errorf("the hello says %s (%v), want %s", got, err, first)
			}
		}
	})
}

func TestSpokeThatLostItsVolumeSaysHowFarItWasAndTakesNothingOlder(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub, s *spoke) {
		s.start(t, h)
		<-h.hellos
		older := h.set(desired(1))
		newer := h.set(desired(2))
		h.send(h.message(fleet.StateID{}, newer, 1))
		<-s.accepted
		synctest.Wait()
		_ = s.stop()
		clear(s.records)
		s.start(t, h)
		said := (<-h.hellos).GetState()
		if said.GetEpoch() != newer.Epoch || said.GetVersion() != newer.Version || len(said.GetDigest()) != 0 {
			t.Errorf("the hello says %v, want the number of %s without a digest", said, newer)
		}
		h.send(h.message(fleet.StateID{}, older, 1))
		<-h.hellos // refused: the spoke connects anew
		h.send(h.message(fleet.StateID{}, newer, 1))
		if got := <-s.accepted; got.ID != newer {
			t.Errorf("accepted %s, want %s", got.ID, newer)
		}
	})
}

func TestGapMakesTheSpokeConnectAnewAndAskForTheFullSet(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub, s *spoke) {
		s.start(t, h)
		<-h.hellos
		first, second, third := h.set(desired(1)), h.set(desired(2)), h.set(desired(3))
		h.send(h.message(fleet.StateID{}, first, 1))
		<-s.accepted
		h.send(h.message(second, third, 1)) // the delta between was lost
		said := (<-h.hellos).GetState()
		if said.GetVersion() != first.Version || len(said.GetDigest()) != 0 {
			t.Errorf("the hello says %v, want version %d without a digest", said, first.Version)
		}
		h.send(h.message(fleet.StateID{}, third, 1))
		<-s.accepted
		h.down <- nil // this session ends; the next hello is an ordinary one
		if got, err := stateFromWire((<-h.hellos).GetState()); err != nil || got != third {
			t.Errorf("the hello says %s (%v), want %s", got, err, third)
		}
	})
}

func TestHubThatIsBehindIsLeftAlone(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub, s *spoke) {
		s.start(t, h)
		<-h.hellos
		first, second := h.set(desired(1)), h.set(desired(2))
		h.send(h.message(fleet.StateID{}, second, 1))
		<-s.accepted
		h.mu.Lock()
		h.welcome.SafeMode = true
		h.mu.Unlock()
		h.down <- nil
		<-h.hellos
		h.send(h.message(fleet.StateID{}, first, 1))
		synctest.Wait()
		time.Sleep(20 * time.Second)
		select {
		case <-h.hellos:
			t.Error("the spoke connects over and over to a hub that is behind")
		case got := <-s.accepted:
			t.Errorf("%s was accepted", got.ID)
		default:
		}
		third := h.setIn(2, desired(-1)) // `hub recover`
		h.send(h.message(fleet.StateID{}, third, 1))
		if got := <-s.accepted; got.ID != third {
			t.Errorf("accepted %s, want %s", got.ID, third)
		}
	})
}

func TestSilentHubIsLeftAfterThreePeriods(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub, s *spoke) {
		h.mute = true
		s.start(t, h)
		<-h.hellos
		begun := time.Now()
		for range 4 { // heard
			time.Sleep(30 * time.Second)
			h.down <- heartbeat()
		}
		<-h.hellos
		if took := time.Since(begun) - 2*time.Minute; took < 45*time.Second || took > 46*time.Second {
			t.Errorf("it connected anew %s after the last message, want about 45s", took)
		}
	})
}

func TestSpokeIsHeardEveryPeriod(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub, s *spoke) {
		s.start(t, h)
		<-h.hellos
		last := (<-h.reports).GetSequence()
		for range 2 {
			begun := time.Now()
			request := <-h.reports
			if took := time.Since(begun); took > 15*time.Second || len(request.GetReports()) != 0 || request.GetSession() != 1 || request.GetSequence() <= last {
				t.Errorf("after %s came %v", took, request)
			}
			last = request.GetSequence()
		}
	})
}

func TestReportsAreSentUntilStoredAndAllAgainInANewSession(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub, s *spoke) {
		s.start(t, h)
		<-h.hellos
		<-h.reports
		h.fail(&h.failReport, status.Error(codes.Internal, "no database"), status.Error(codes.Unavailable, "no database"))
		s.Report(reportOf(0, 1))
		var sequences []uint64
		for range 3 {
			request, r := h.nextReport(t, appKey(0))
			if r.GetGeneration() != 1 {
				t.Errorf("generation %d", r.GetGeneration())
			}
			sequences = append(sequences, request.GetSequence())
		}
		if sequences[0] != sequences[1] || sequences[1] != sequences[2] {
			t.Errorf("the sequences of one request are %v", sequences)
		}
		s.Report(reportOf(1, 1))
		h.nextReport(t, appKey(1))
		h.down <- nil
		<-h.hellos
		request, _ := h.nextReport(t, appKey(0))
		if request.GetSession() != 2 || len(request.GetReports()) != 2 {
			t.Errorf("the new session was told of %d Assignments, want 2", len(request.GetReports()))
		}
	})
}

func TestReportOfAnOldSessionMakesTheSpokeConnectAnew(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub, s *spoke) {
		s.start(t, h)
		<-h.hellos
		h.fail(&h.failReport, fleet.ErrConflict)
		<-h.hellos
		if request := <-h.reports; request.GetSession() != 1 {
			t.Errorf("session %d", request.GetSession())
		}
		if request := <-h.reports; request.GetSession() != 2 {
			t.Errorf("session %d, want the new one", request.GetSession())
		}
	})
}

func TestHubOfAVersionTooFarAwayIsNotFollowedAndTheLogNamesBoth(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub, s *spoke) {
		h.welcome.Protocol = protocol + 1
		s.start(t, h)
		<-h.hellos
		<-h.hellos // it tries on: the hub may be replaced
		if got := s.log.String(); s.Connected() || !strings.Contains(got, "the hub speaks protocol 2, this spoke 1 to 1") {
			t.Errorf("connected is %t, the log:\n%s", s.Connected(), got)
		}
	})
}

func TestUnknownAssignmentsAreToldOnceTheStateIsKnown(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub, s *spoke) {
		s.unknown = []fleet.Key{appKey(7)}
		s.start(t, h)
		<-h.hellos
		if request := <-h.reports; len(request.GetUnknownAssignments()) != 0 {
			t.Errorf("before the state is known: %v", request.GetUnknownAssignments())
		}
		h.send(h.message(fleet.StateID{}, h.set(desired(1)), 1))
		<-s.accepted
		if request := <-h.reports; len(request.GetUnknownAssignments()) != 1 {
			t.Errorf("unknown are %v", request.GetUnknownAssignments())
		}
	})
}

func TestEventsReachTheHubOnce(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub, s *spoke) {
		s.start(t, h)
		<-h.hellos
		<-h.reports
		s.Event(fleet.Event{App: appKey(1), Reason: "Pruned", Message: "gone", At: time.Now()})
		request := <-h.reports
		if len(request.GetEvents()) != 1 || request.GetEvents()[0].GetReason() != "Pruned" || request.GetEvents()[0].GetNumber() == 0 {
			t.Errorf("events = %v", request.GetEvents())
		}
		if request := <-h.reports; len(request.GetEvents()) != 0 {
			t.Errorf("stored events come again: %v", request.GetEvents())
		}
	})
}

func TestQuestionIsAnsweredFromTheEngine(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub, s *spoke) {
		refs := []fleet.ObjectRef{}
		for range 10000 {
			refs = append(refs, fleet.ObjectRef{Version: "v1", Kind: "ConfigMap", Namespace: "apps", Name: strings.Repeat("x", 100)})
		}
		s.held = map[fleet.Key][]fleet.ObjectRef{appKey(0): refs[:1], appKey(1): refs}
		s.start(t, h)
		<-h.hellos
		ask := func(key string) *spokev1.AnswerRequest {
			h.down <- &spokev1.ConnectResponse{Message: &spokev1.ConnectResponse_Question{Question: &spokev1.Question{
				Id: "q1", Deadline: timestamppb.New(time.Now().Add(time.Minute)),
				Ask: &spokev1.Question_HeldPrune{HeldPrune: &spokev1.HeldPruneQuestion{Key: key}},
			}}}
			return <-h.answers
		}
		const want = `[{"version":"v1","kind":"ConfigMap","namespace":"apps","name":"`
		if got := ask(appKey(0).String()); got.GetQuestionId() != "q1" || !strings.HasPrefix(string(got.GetChunk()), want) {
			t.Errorf("answer %q: %s", got.GetQuestionId(), got.GetChunk())
		}
		if got := ask(appKey(1).String()); len(got.GetChunk()) < 1<<20 {
			t.Errorf("a long answer has %d bytes", len(got.GetChunk()))
		}
		if got := ask(appKey(2).String()); string(got.GetChunk()) != "[]" {
			t.Errorf("of an App without held objects: %q", got.GetChunk())
		}
		if got := ask("x"); got.GetError() == "" {
			t.Errorf("of no App: %v", got)
		}
	})
}

// await is Run's end by itself.
func (s *spoke) await() error {
	select {
	case err := <-s.done:
		s.done <- err
		return err
	case <-time.After(time.Hour):
		return errors.New("it did not end")
	}
}

func TestHubIsToldOnceThatAnotherAnsweredAtItsAddress(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub, s *spoke) {
		s.start(t, h)
		<-h.hellos
		for range 2 { // it is told of each time
			other := newHub(t)
			s.at.Store(other)
			h.down <- nil
			time.Sleep(5 * time.Minute)
			if len(other.hellos) != 0 || other.enrols != 0 {
				t.Error("another hub was spoken to")
			}
			s.at.Store(h)
			events := h.nextEvents(t)
			if e := events[0]; len(events) != 1 || !e.GetWarning() || e.GetKey() != "" || e.GetReason() != "AnotherHub" || !strings.Contains(e.GetMessage(), rpctest.Address) {
				t.Errorf("the hub was told %v", events)
			}
		}
	})
}
