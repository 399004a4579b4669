package session

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"flotilla.dev/flotilla/pkg/fleet"
)

func TestEnrolmentWhoseAnswerWasLostGoesOnWithTheSameKeyOverARestart(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub, s *spoke) {
		h.fail(&h.failEnrol, errLostAnswer, errLostAnswer, errLostAnswer)
		s.start(t, h)
		for lost := false; !lost; time.Sleep(10 * time.Millisecond) {
			h.mu.Lock()
			lost = h.enrols > 0
			h.mu.Unlock()
		}
		if err := s.stop(); err != nil && !errors.Is(err, t.Context().Err()) {
			t.Logf("stopped with %v", err)
		}
		s.start(t, h)
		<-h.hellos
	})
}

func TestTokenThatAnotherHasRedeemedEndsTheSpokeAndSaysSo(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub, s *spoke) {
		s.start(t, h)
		<-h.hellos
		thief := newSpoke(h.token)
		thief.start(t, h)
		err := thief.await()
		if !errors.Is(err, fleet.ErrTerminal) || !strings.Contains(err.Error(), "join token t1") || !strings.Contains(err.Error(), "used") {
			t.Errorf("Run = %v", err)
		}
	})
}

func TestSpokeThatIsNotEnrolledAndHasNoTokenEndsAndSaysSo(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub, s *spoke) {
		s.token = ""
		s.start(t, h)
		if err := s.await(); !errors.Is(err, fleet.ErrTerminal) || !strings.Contains(err.Error(), "join token") {
			t.Errorf("Run = %v", err)
		}
	})
}

func TestHubThatIsNotTheTokensIsNeverGivenTheToken(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub, s *spoke) {
		other := newHub(t)
		s.start(t, other)
		time.Sleep(time.Minute)
		if other.enrols != 0 {
			t.Error("the token was given to another hub")
		}
		if got := s.log.String(); !strings.Contains(got, "not the hub that the pin names") {
			t.Errorf("the log does not say why:\n%s", got)
		}
		s.start(t, h) // the address was put right
		<-h.hellos
	})
}

func TestCertificateIsRenewedAtHalfItsLifeAndUsed(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub, s *spoke) {
		h.welcome.HeartbeatPeriod = durationpb.New(5 * time.Minute)
		s.start(t, h)
		<-h.hellos
		begun, before := time.Now(), s.store.identity.Certificate
		for range 3 {
			<-h.renewed
			if took := time.Since(begun); took < 10*time.Hour || took > 14*time.Hour {
				t.Errorf("renewed after %s, want about half of 24h", took)
			}
			begun = time.Now()
			<-h.hellos
			if time.Since(begun) > time.Second {
				t.Error("the new certificate is not used at once")
			}
			mine, _ := s.store.Load(t.Context())
			if string(mine.Certificate) == string(before) {
				t.Error("the new certificate is not kept")
			}
			before = mine.Certificate
		}
	})
}

func TestCertificateThatRanOutWhileTheHubWasAwayIsRenewedAndUsed(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub, s *spoke) {
		s.start(t, h)
		<-h.hellos
		h.send(h.message(fleet.StateID{}, h.set(desired(1)), 1))
		<-s.accepted
		synctest.Wait()
		_ = s.stop()
		time.Sleep(3 * 24 * time.Hour)
		before := s.store.identity.Certificate
		s.start(t, h)
		<-s.accepted // from disk
		<-h.renewed
		if got, err := stateFromWire((<-h.hellos).GetState()); err != nil || got != h.latest {
			t.Errorf("the hello says %s (%v), want %s", got, err, h.latest)
		}
		if mine, _ := s.store.Load(t.Context()); string(mine.Certificate) == string(before) {
			t.Error("the new certificate is not kept")
		}
	})
}

func TestSessionWhoseCertificateRunsOutGoesOnWithTheNext(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub, s *spoke) {
		s.start(t, h)
		<-h.hellos
		h.fail(&h.failReport, fleet.ErrUnauthenticated)
		h.fail(&h.failConnect, fleet.ErrUnauthenticated)
		<-h.hellos
		<-h.renewed
		<-h.hellos
	})
}

func TestClusterThatTheHubRefusesKeepsItsStateAndJoinsAgainWithANewToken(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub, s *spoke) {
		s.start(t, h)
		<-h.hellos
		h.send(h.message(fleet.StateID{}, h.set(desired(1)), 1))
		<-s.accepted
		h.fail(&h.failConnect, fleet.ErrDenied, fleet.ErrDenied)
		h.down <- nil
		<-h.hellos
		begun := time.Now()
		<-h.hellos
		if time.Since(begun) < 30*time.Second {
			t.Error("a refusal is not given time")
		}
		if got := s.log.String(); !strings.Contains(got, "the hub refuses this cluster") {
			t.Errorf("log:\n%s", got)
		}
		synctest.Wait()
		if err := s.stop(); err != nil {
			t.Errorf("Run = %v", err)
		}
		h.fail(&h.failConnect, fleet.ErrDenied)
		h.newToken("t2")
		s.token = h.token
		s.start(t, h)
		if got := <-s.accepted; got.ID != h.latest {
			t.Errorf("from disk came %s", got.ID)
		}
		<-h.hellos // refused with the old certificate
		<-h.hellos
		if mine, _ := s.store.Load(t.Context()); mine.EnrolToken != "t2" {
			t.Errorf("enrolled with token %s", mine.EnrolToken)
		}
	})
}

func TestTokenOfAnotherHubDoesNotMoveACluster(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub, s *spoke) {
		s.start(t, h)
		<-h.hellos
		_ = s.stop()
		other := newHub(t)
		s.token = other.token
		s.start(t, h)
		<-h.hellos
		if got := s.log.String(); !strings.Contains(got, "the join token is another hub's") {
			t.Errorf("log:\n%s", got)
		}
	})
}

func TestCertificateThatRanOutLongAgoKeepsTheStateAndANewTokenJoinsAgain(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub, s *spoke) {
		s.start(t, h)
		<-h.hellos
		h.send(h.message(fleet.StateID{}, h.set(desired(1)), 1))
		<-s.accepted
		synctest.Wait()
		_ = s.stop()
		time.Sleep(40 * 24 * time.Hour) // it can be renewed for 30
		s.start(t, h)
		if got := <-s.accepted; got.ID != h.latest {
			t.Errorf("from disk came %s", got.ID)
		}
		time.Sleep(10 * time.Minute)
		if len(h.hellos) != 0 {
			t.Fatal("the hub took a certificate that ran out long ago")
		}
		for _, want := range []string{"what it runs is kept", "cluster register NAME --rejoin", "ran out too long ago"} {
			if got := s.log.String(); !strings.Contains(got, want) {
				t.Errorf("the log does not say %q:\n%s", want, got)
			}
		}
		if h.enrols != 1 {
			t.Errorf("the redeemed token was sent %d times", h.enrols)
		}
		_ = s.stop()
		h.newToken("t2")
		s.token = h.token
		s.start(t, h)
		if got := <-s.accepted; got.ID != h.latest {
			t.Errorf("from disk came %s", got.ID)
		}
		if got, err := stateFromWire((<-h.hellos).GetState()); err != nil || got != h.latest {
			t.Errorf("joined again, the hello says %s (%v)", got, err)
		}
	})
}

func TestNewTokenWhoseAnswerWasLostIsRedeemedAfterARestart(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub, s *spoke) {
		s.start(t, h)
		<-h.hellos
		synctest.Wait()
		_ = s.stop()
		time.Sleep(40 * 24 * time.Hour)
		h.newToken("t2")
		s.token = h.token
		for range 1000 {
			h.fail(&h.failEnrol, errLostAnswer)
		}
		s.start(t, h)
		time.Sleep(10 * time.Second)
		_ = s.stop() // as if killed: the token is bound to a key, and the certificate never came
		h.mu.Lock()
		tried := h.enrols > 1
		h.failEnrol = nil
		h.mu.Unlock()
		if !tried {
			t.Fatal("the new token was not tried")
		}
		s.start(t, h)
		<-h.hellos
	})
}

func TestRenewalWhoseAnswersAreLostHarmsNothing(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub, s *spoke) {
		s.start(t, h)
		<-h.hellos
		h.fail(&h.failRenew, errLostAnswer, errLostAnswer, errLostAnswer)
		for range 4 {
			<-h.renewed
		}
		<-h.hellos // with the fourth
		h.fail(&h.failRenew, errLostAnswer)
		<-h.renewed
		synctest.Wait()
		_ = s.stop() // and the spoke restarts with the certificate in use
		s.start(t, h)
		<-h.hellos
		<-h.renewed
		<-h.hellos
		if got := s.log.String(); strings.Contains(got, "the hub refuses") {
			t.Errorf("log:\n%s", got)
		}
	})
}

func TestCertificateWhoseWriteSeemedToFailIsTheOneThatTheHubTakesAfterARestart(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub, s *spoke) {
		s.start(t, h)
		<-h.hellos
		before := s.store.identity.Certificate
		s.store.set(func(m *memoryStore) { m.mute = true })
		<-h.renewed
		synctest.Wait()
		if mine := s.store.identity; string(mine.Certificate) == string(before) {
			t.Fatal("the write had no effect")
		}
		s.store.set(func(m *memoryStore) { m.err, m.mute = errors.New("the API server is gone"), false })
		time.Sleep(10 * time.Minute)
		_ = s.stop()
		s.store.set(func(m *memoryStore) { m.err = nil })
		s.start(t, h)
		h.welcomed(t, s)
	})
}

func TestHubWhoseDatabaseWasRestoredTakesTheCertificatesThatWereRenewedSince(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub, s *spoke) {
		s.start(t, h)
		<-h.hellos
		serial, certified := h.serial, h.certified
		for range 3 {
			<-h.renewed
			<-h.hellos
		}
		synctest.Wait()
		_ = s.stop()
		h.mu.Lock()
		h.serial, h.next, h.certified = serial, "", certified
		h.mu.Unlock()
		s.start(t, h)
		h.welcomed(t, s)
		<-h.renewed
		h.welcomed(t, s)
		if h.enrols != 1 {
			t.Errorf("enrolled %d times", h.enrols)
		}
	})
}
