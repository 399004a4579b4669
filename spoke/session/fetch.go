package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/rpc"
	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
)

const (
	// maxPack bounds a pack: a Manifest of the largest size, not compressible.
	maxPack = 64 << 20
	// fetchPatience is how long the next chunk may take.
	fetchPatience = 30 * time.Second
)

var (
	// ErrDisconnected says that there is no session now.
	ErrDisconnected = errors.New("not connected to the hub")
	// ErrSuperseded says that a newer generation has overtaken the request: its Assignment is on its way.
	ErrSuperseded = errors.New("overtaken by a newer generation")
)

// Pack is what Fetch brings: a pack that gives the Manifest against Base (zero: against nothing).
type Pack struct {
	Manifest, Base fleet.Digest
	Content        []byte
}

// Fetch brings the Manifest of an Assignment generation, as a pack against the one with digest base, which the spoke
// holds whole; zero: none. The content is not verified here.
func (c *Client) Fetch(ctx context.Context, app fleet.Key, epoch, generation uint64, base fleet.Digest) (Pack, error) {
	pack, err := c.fetch(ctx, &spokev1.FetchRequest{
		Key: app.String(), Epoch: epoch, Generation: generation, BaseManifest: base.Bytes(),
	})
	if err != nil {
		return Pack{}, fmt.Errorf("fetch the manifest of %s at generation %d: %w", app.Words(), generation, err)
	}
	c.metrics.fetched.Add(float64(len(pack.Content)))
	return pack, nil
}

func (c *Client) fetch(ctx context.Context, request *spokev1.FetchRequest) (pack Pack, err error) {
	c.mu.Lock()
	hub := c.hub
	c.mu.Unlock()
	if hub == nil {
		return pack, ErrDisconnected
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late := time.AfterFunc(fetchPatience, func() { cancel(errSilent) })
	defer late.Stop()
	stream, err := hub.Fetch(ctx, request)
	if err != nil {
		return pack, fetchError(ctx, err)
	}
	var header *spokev1.FetchHeader
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return pack, fetchError(ctx, err)
		}
		late.Reset(fetchPatience)
		switch {
		case message.GetSuperseded() != nil:
			return pack, ErrSuperseded
		case message.GetHeader() != nil && header == nil:
			header = message.GetHeader()
			if header.GetSize() > maxPack {
				return pack, fmt.Errorf("%w: the pack has %d bytes", fleet.ErrInvalid, header.GetSize())
			}
			pack.Content = make([]byte, 0, header.GetSize())
		default:
			pack.Content = append(pack.Content, message.GetChunk()...)
		}
		if uint64(len(pack.Content)) > header.GetSize() {
			return pack, fmt.Errorf("%w: the pack is longer than was said", fleet.ErrInvalid)
		}
	}
	if header == nil || uint64(len(pack.Content)) != header.GetSize() {
		return pack, fmt.Errorf("the pack is cut off: %w", io.ErrUnexpectedEOF)
	}
	if pack.Manifest, err = fleet.DigestFromBytes(header.GetManifest()); err != nil {
		return pack, err
	}
	pack.Base, err = fleet.DigestFromBytes(header.GetBaseManifest())
	return pack, err
}

func fetchError(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errSilent) {
		return errSilent
	}
	return rpc.FromStatus(err)
}
