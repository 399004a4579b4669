package session_test

import (
	"errors"
	"io"
	"testing"

	"google.golang.org/grpc/codes"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
)

// fetch returns the pack, or nil when the request was superseded.
func (s *spoke) fetch(generation uint64, base fleet.Digest) (header *spokev1.FetchHeader, pack []byte, err error) {
	client, err := s.Fetch(s.t.Context(), &spokev1.FetchRequest{Key: appKey.String(), Generation: generation, BaseManifest: base.Bytes()})
	if err != nil {
		return nil, nil, err
	}
	for {
		message, err := client.Recv()
		if errors.Is(err, io.EOF) {
			return header, pack, nil
		}
		if err != nil {
			return nil, nil, err
		}
		if h := message.GetHeader(); h != nil {
			header = h
		}
		pack = append(pack, message.GetChunk()...)
	}
}

func TestFetchGivesAPackAgainstWhatTheClusterWasGiven(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	s := b.enrol("prod-1")
	one := b.release("a", "b", "c")
	session := s.connect(nil)
	first := decode(t, session.desired())
	header, pack, err := s.fetch(first.Generation, fleet.Digest{})
	if err != nil {
		t.Fatal(err)
	}
	if len(header.GetBaseManifest()) != 0 {
		t.Errorf("base %x for a spoke that holds nothing", header.GetBaseManifest())
	}
	held, blobs, err := manifest.Unpack(pack, nil, one.Manifest)
	if err != nil || len(blobs) != 3 {
		t.Fatalf("%d blobs, error %v", len(blobs), err)
	}
	two := b.release("a", "b", "changed")
	second := decode(t, session.desired())
	_, pack, err = s.fetch(second.Generation, one.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	if _, blobs, err = manifest.Unpack(pack, held, two.Manifest); err != nil || len(blobs) != 1 {
		t.Errorf("%d blobs for one changed object, error %v", len(blobs), err)
	}
	header, _, err = s.fetch(second.Generation, fleet.DigestOf([]byte("guess")))
	if err != nil || len(header.GetBaseManifest()) != 0 {
		t.Errorf("base %x for one that was never given, error %v", header.GetBaseManifest(), err)
	}
	if header, _, err = s.fetch(first.Generation, fleet.Digest{}); err != nil || header != nil {
		t.Errorf("an overtaken generation is answered with header %v, error %v", header, err)
	}
	_, _, err = s.fetch(second.Generation+100, fleet.Digest{})
	wantCode(t, err, codes.NotFound)
	stranger := b.enrol("prod-2")
	_, _, err = stranger.fetch(second.Generation, fleet.Digest{})
	wantCode(t, err, codes.NotFound)
}

func decode(t *testing.T, d *spokev1.Desired) fleet.Assignment {
	t.Helper()
	a, err := fleet.DecodeAssignment(d.GetItems()[0].GetAssignment())
	if err != nil {
		t.Fatal(err)
	}
	return a
}
