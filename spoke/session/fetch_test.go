package session

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
)

func packOf(manifest, base fleet.Digest, size int, chunks ...[]byte) []*spokev1.FetchResponse {
	messages := []*spokev1.FetchResponse{{Message: &spokev1.FetchResponse_Header{
		Header: &spokev1.FetchHeader{Manifest: manifest.Bytes(), BaseManifest: base.Bytes(), Size: uint64(size)},
	}}}
	for _, chunk := range chunks {
		messages = append(messages, &spokev1.FetchResponse{Message: &spokev1.FetchResponse_Chunk{Chunk: chunk}})
	}
	return messages
}

func TestPackIsFetchedWholeOrNotAtAll(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub, s *spoke) {
		s.start(t, h)
		<-h.hellos
		<-h.reports
		content := bytes.Repeat([]byte("0123456789"), 100_000)
		want, base := fleet.DigestOf([]byte("manifest")), fleet.DigestOf([]byte("base"))
		chunks := slices.Collect(slices.Chunk(content, 400_000))
		superseded := []*spokev1.FetchResponse{{Message: &spokev1.FetchResponse_Superseded{Superseded: &spokev1.Superseded{}}}}
		for name, c := range map[string]struct {
			messages []*spokev1.FetchResponse
			want     error
		}{
			"whole":      {packOf(want, base, len(content), chunks...), nil},
			"cut":        {packOf(want, base, len(content), chunks[:2]...), io.ErrUnexpectedEOF},
			"nothing":    {nil, io.ErrUnexpectedEOF},
			"too long":   {packOf(want, base, len(content)-1, chunks...), fleet.ErrInvalid},
			"too large":  {packOf(want, base, maxPack+1), fleet.ErrInvalid},
			"no header":  {packOf(want, base, len(content), chunks...)[1:], fleet.ErrInvalid},
			"bad digest": {[]*spokev1.FetchResponse{{Message: &spokev1.FetchResponse_Header{Header: &spokev1.FetchHeader{Manifest: []byte("x")}}}}, fleet.ErrInvalid},
			"superseded": {superseded, ErrSuperseded},
		} {
			h.fetch = func(request *spokev1.FetchRequest) []*spokev1.FetchResponse {
				if request.GetKey() != appKey(0).String() || request.GetEpoch() != 1 || request.GetGeneration() != 7 || !bytes.Equal(request.GetBaseManifest(), base.Bytes()) {
					t.Errorf("request = %v", request)
				}
				return c.messages
			}
			pack, err := s.Fetch(t.Context(), appKey(0), 1, 7, base)
			if !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", name, err, c.want)
			}
			if err != nil && !strings.HasPrefix(err.Error(), "fetch the manifest of "+appKey(0).Words()+" ") {
				t.Errorf("%s: %v names the App in another way than people do", name, err)
			}
			if c.want == nil && (pack.Manifest != want || pack.Base != base || !bytes.Equal(pack.Content, content)) {
				t.Errorf("%s: another pack came", name)
			}
		}
	})
}

func TestFetchWithoutASessionFailsAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, h *hub, s *spoke) {
		s.token = ""
		s.start(t, h)
		begun := time.Now()
		if _, err := s.Fetch(t.Context(), appKey(0), 1, 1, fleet.Digest{}); !errors.Is(err, ErrDisconnected) || time.Since(begun) != 0 {
			t.Errorf("Fetch = %v after %s", err, time.Since(begun))
		}
	})
}
