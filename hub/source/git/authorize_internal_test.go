package git

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/source"
)

type answering func(*http.Request) (*http.Response, error)

func (a answering) RoundTrip(req *http.Request) (*http.Response, error) { return a(req) }

// The token's host may be the upstream's, whose places are held by conversations under way: those must not wait for the one
// that asks for a token, which waits for their places.
func TestRequestsUnderWayDoNotWaitForATokenThatIsAskedFor(t *testing.T) {
	t.Parallel()
	begun, end := make(chan struct{}), make(chan struct{})
	a := newAuthorizer(answering(func(*http.Request) (*http.Response, error) {
		return httptest.NewRecorder().Result(), nil
	}), credential{})
	a.token = "about to end"
	a.fetch = func(context.Context, source.Upstream) (string, time.Time, error) {
		close(begun)
		<-end
		return "new", time.Now().Add(time.Hour), nil
	}
	refreshed, asked := make(chan error, 1), make(chan error, 1)
	go func() { refreshed <- a.refresh(t.Context(), source.Upstream{}) }()
	<-begun
	go func() {
		_, err := a.RoundTrip(httptest.NewRequest(http.MethodGet, "http://git.example.com/", http.NoBody))
		asked <- err
	}()
	select {
	case err := <-asked:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("a request waits for a token that is being asked for")
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	other := make(chan error, 1)
	go func() { other <- a.refresh(gone, source.Upstream{}) }()
	select {
	case err := <-other:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v of one that was called off while it waits for a token", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("one that was called off waits for a token on")
	}
	close(end)
	if err := <-refreshed; err != nil || a.token != "new" {
		t.Errorf("token %q, error %v", a.token, err)
	}
}
