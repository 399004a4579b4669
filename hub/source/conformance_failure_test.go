package source_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/test/lab"
)

func TestEveryKindSaysHowItsServerFailed(t *testing.T) {
	broken := []source.Kind{source.KindConnect, source.KindServer}
	for name, tc := range map[string]struct {
		fault    lab.Fault
		kinds    []source.Kind
		httpOnly bool
	}{
		"reset":        {lab.Reset, broken, false},
		"hang":         {lab.Hang, []source.Kind{source.KindTimeout}, false},
		"hang halfway": {lab.HangHalfway, []source.Kind{source.KindTimeout}, false},
		"half":         {lab.Half, broken, false},
		"garbage":      {lab.Garbage, []source.Kind{source.KindServer, source.KindContent, source.KindConnect}, false},
		"401":          {lab.Status(http.StatusUnauthorized), []source.Kind{source.KindAuth}, true},
		"403":          {lab.Status(http.StatusForbidden), []source.Kind{source.KindAuth}, true},
		// Server: what was listed a moment ago is gone.
		"404":  {lab.Status(http.StatusNotFound), []source.Kind{source.KindRepository, source.KindRef, source.KindServer}, true},
		"500":  {lab.Status(http.StatusInternalServerError), []source.Kind{source.KindServer}, true},
		"loop": {lab.RedirectLoop, []source.Kind{source.KindRedirect}, true},
	} {
		t.Run(name, func(t *testing.T) {
			eachKind(t, tc.httpOnly, func(t *testing.T, k kind) {
				s, hub := k.start(t, protection{password: true}), newReplica(t, source.Addresses{})
				s.change("content")
				u := within(s.upstream, time.Minute)
				if strings.HasPrefix(name, "hang") {
					u = within(s.upstream, time.Second)
				}
				s.server.Set(tc.fault)
				_, err := hub.Resolve(t.Context(), u)
				if err != nil || !k.header || name != "half" {
					check(t, "resolve", err, u, tc.kinds...)
				}
				s.server.Clear()
				found, err := hub.Resolve(t.Context(), s.upstream)
				if err != nil {
					t.Fatalf("resolve, when it is well again: %v", err)
				}

				s.server.Set(tc.fault)
				_, err = hub.Fetch(t.Context(), u, found)
				if s.server.Struck() > 0 || err != nil { // else nothing was left to ask
					check(t, "fetch", err, u, tc.kinds...)
				}
				s.server.Clear()
				fetched, err := hub.Fetch(t.Context(), s.upstream, found)
				if err != nil || !hub.holds(t, fetched, "content") {
					t.Errorf("fetch, when it is well again: %v", err)
				}
			})
		})
	}
}

func TestEveryKindIsRefusedByAServerThatIsDown(t *testing.T) {
	eachKind(t, false, func(t *testing.T, k kind) {
		s, hub := k.start(t, protection{password: true}), newReplica(t, source.Addresses{})
		s.change("content")
		s.server.Down()
		check(t, "down", hub.try(t.Context(), s.upstream), s.upstream, source.KindConnect)
		if err := s.server.Up(); err != nil {
			t.Fatal(err)
		}
		if _, fetched := hub.fetch(t, s.upstream); !hub.holds(t, fetched, "content") {
			t.Errorf("when it is up again the artifact is %+v", fetched.Tree)
		}
	})
}

func TestEveryKindLeavesAHostAloneThatAsksForIt(t *testing.T) {
	eachKind(t, true, func(t *testing.T, k kind) {
		s, hub := k.start(t, protection{}), newReplica(t, source.Addresses{})
		s.change("content")
		var failure *source.Error
		for _, status := range []int{http.StatusServiceUnavailable, http.StatusTooManyRequests} {
			s.server.Set(lab.StatusRetryAfter(status, 3*time.Second))
			_, err := newReplica(t, source.Addresses{}).Resolve(t.Context(), s.upstream)
			check(t, http.StatusText(status), err, s.upstream, source.KindBusy)
			if !errors.As(err, &failure) || failure.RetryAfter <= 0 || failure.RetryAfter > 3*time.Second {
				t.Errorf("%d: error %v does not say when to come again", status, err)
			}
		}
		// So long that it cannot be over meanwhile, however slow the machine is.
		const long = 10 * time.Minute
		s.server.Set(lab.StatusRetryAfter(http.StatusTooManyRequests, long))
		patient := newReplica(t, source.Addresses{})
		check(t, "first", patient.try(t.Context(), s.upstream), s.upstream, source.KindBusy)
		s.server.Clear()
		asked := s.asked()
		err := patient.try(t.Context(), s.upstream)
		check(t, "meanwhile", err, s.upstream, source.KindBusy)
		if !errors.As(err, &failure) || failure.RetryAfter <= 0 || failure.RetryAfter > long {
			t.Errorf("error %v does not say when to come again", err)
		}
		if s.asked() != asked {
			t.Error("it was asked all the same")
		}

		s.server.Set(lab.StatusRetryAfter(http.StatusTooManyRequests, time.Second))
		check(t, "for a second", hub.try(t.Context(), s.upstream), s.upstream, source.KindBusy)
		s.server.Clear()
		lab.Eventually(t, 30*time.Second, "it is asked again", func() error { return hub.try(t.Context(), s.upstream) })
	})
}

func TestEveryKindEndsWhenItIsCalledOff(t *testing.T) {
	eachKind(t, false, func(t *testing.T, k kind) {
		s, hub := k.start(t, protection{password: true}), newReplica(t, source.Addresses{})
		s.change("content")
		u := within(s.upstream, time.Hour)
		calls := map[string]func(ctx context.Context) error{
			"resolve": func(ctx context.Context) error { _, err := hub.Resolve(ctx, u); return err },
		}
		found, err := hub.Resolve(t.Context(), u)
		if err != nil {
			t.Fatal(err)
		}
		calls["fetch"] = func(ctx context.Context) error { _, err := hub.Fetch(ctx, u, found); return err }
		for name, call := range calls {
			s.server.Set(lab.Hang)
			ctx, cancel := context.WithCancelCause(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- call(ctx) }()
			select {
			case err := <-ended:
				if s.server.Struck() > 0 || err != nil {
					t.Errorf("%s: it ended by itself: %v", name, err)
				}
			case <-struck(t, s.server):
				why := errors.New("the hub stops")
				cancel(why)
				select {
				case err := <-ended:
					if source.KindOf(err) != source.KindCanceled || !errors.Is(err, why) {
						t.Errorf("%s: error %v, want that it was called off", name, err)
					}
				case <-time.After(30 * time.Second):
					t.Errorf("%s: it goes on when it is called off", name)
				}
			}
			cancel(nil)
			s.server.Clear()
		}
	})
}

// struck is closed when the fault has hit.
func struck(t *testing.T, s server) <-chan struct{} {
	t.Helper()
	hit := make(chan struct{})
	go func() {
		ticker := time.NewTicker(10 * time.Millisecond)
		defer ticker.Stop()
		for s.Struck() == 0 {
			select {
			case <-ticker.C:
			case <-t.Context().Done():
				return
			}
		}
		close(hit)
	}()
	return hit
}
