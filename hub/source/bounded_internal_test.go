package source

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// stream is an answer of which each Read waits first.
type stream struct {
	io.Reader
	wait   time.Duration
	closed chan struct{}
}

func (s *stream) Read(p []byte) (int, error) {
	select {
	case <-time.After(s.wait):
		return s.Reader.Read(p[:1])
	case <-s.closed:
		return 0, errors.New("read of a closed stream")
	}
}

func (s *stream) Close() error { close(s.closed); return nil }

func TestAnAnswerStallsWhenTheServerDoesNotWhenItsReaderIsBusy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork(NetworkConfig{Metrics: NewMetrics(nil)})
		slowly := n.Bounded(t.Context(), &stream{bytes.NewReader([]byte("ab")), time.Second, make(chan struct{})}, 10, "")
		for range 2 {
			time.Sleep(2 * StallTime) // of the bubble's: what was read is stored
			if _, err := slowly.Read(make([]byte, 1)); err != nil {
				t.Errorf("read after a pause of the reader's: %v", err)
			}
		}
		var stalled *stalledError
		never := n.Bounded(t.Context(), &stream{bytes.NewReader([]byte("ab")), time.Hour, make(chan struct{})}, 10, "")
		if _, err := never.Read(make([]byte, 1)); !errors.As(err, &stalled) {
			t.Errorf("read of a server that sends nothing: %v", err)
		}
	})
}
