package session

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
)

// crashingBlobs panics at the first Get, once it is told to.
type crashingBlobs struct {
	manifest.Blobs
	crash chan struct{}
}

func (b *crashingBlobs) Get(_ context.Context, digest fleet.Digest) ([]byte, error) {
	if crash := b.crash; crash != nil {
		<-crash
		b.crash = nil
		panic("a blob that cannot be")
	}
	return b.Blobs[digest], nil
}

func (b *crashingBlobs) GetAll(context.Context, []fleet.Digest) (map[fleet.Digest][]byte, error) {
	return b.Blobs, nil
}

func TestPackWhoseMakingPanicsIsAnErrorForWhoeverWaitsAndMadeAnewAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, blobs, err := manifest.New([][]byte{[]byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"b"}}`)}, manifest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		blobs[m.Digest()] = m.Encode()
		crash := make(chan struct{})
		p := newPacks(&crashingBlobs{blobs, crash}, newMetrics(nil))
		panicked, waited := make(chan any), make(chan error)
		go func() {
			defer func() { panicked <- recover() }()
			_, _ = p.get(t.Context(), fleet.Digest{}, m.Digest())
		}()
		synctest.Wait()
		go func() {
			_, err := p.get(t.Context(), fleet.Digest{}, m.Digest())
			waited <- err
		}()
		synctest.Wait()
		close(crash)
		if <-panicked == nil {
			t.Error("the panic was lost")
		}
		if err := <-waited; !errors.Is(err, errNotMade) {
			t.Errorf("whoever waited got %v", err)
		}
		if pack, err := p.get(t.Context(), fleet.Digest{}, m.Digest()); err != nil || len(pack) == 0 {
			t.Errorf("made anew: %d bytes, %v", len(pack), err)
		}
	})
}
