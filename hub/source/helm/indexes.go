package helm

import (
	"context"
	"sync"

	"flotilla.dev/flotilla/pkg/fleet"
)

// indexes keeps parsed indexes by digest, so that one is parsed once however many charts come of it.
type indexes struct {
	limit int64
	// reading bounds how many are in memory as text at a time.
	reading chan struct{}

	mu    sync.Mutex
	known map[fleet.Digest]*index
	order []fleet.Digest // the one that was used last comes last
	size  int64
}

// atATime is how many indexes may be downloaded and parsed at a time: one may take 50 MiB.
const atATime = 2

func newIndexes(limit int64) *indexes {
	return &indexes{limit: limit, reading: make(chan struct{}, atATime), known: map[fleet.Digest]*index{}}
}

// room waits until there is room for the text of an index.
func (x *indexes) room(ctx context.Context) (done func(), err error) {
	select {
	case x.reading <- struct{}{}:
		return func() { <-x.reading }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// get is the index of the digest; load gets its text if it is not known.
func (x *indexes) get(ctx context.Context, digest fleet.Digest, load func() ([]byte, error)) (*index, error) {
	if found := x.lookup(digest); found != nil {
		return found, nil
	}
	done, err := x.room(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	if found := x.lookup(digest); found != nil { // somebody has read it meanwhile
		return found, nil
	}
	data, err := load()
	if err != nil {
		return nil, err
	}
	return x.read(ctx, digest, data, fleet.Digest{})
}

// read parses the text of the index, and keeps what comes of it. before is the index that this one follows, zero if none is
// known: what stands in both is not parsed again.
func (x *indexes) read(ctx context.Context, digest fleet.Digest, data []byte, before fleet.Digest) (*index, error) {
	parsed, err := parseIndex(ctx, data, x.lookup(before))
	if err != nil {
		return nil, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, known := x.known[digest]; !known && parsed.size <= x.limit {
		x.known[digest] = parsed
		x.order = append(x.order, digest)
		x.size += parsed.size
	}
	for x.size > x.limit {
		oldest := x.order[0]
		x.size -= x.known[oldest].size
		delete(x.known, oldest)
		x.order = x.order[1:]
	}
	return parsed, nil
}

func (x *indexes) lookup(digest fleet.Digest) *index {
	x.mu.Lock()
	defer x.mu.Unlock()
	found := x.known[digest]
	if found == nil {
		return nil
	}
	for i, at := range x.order {
		if at == digest {
			x.order = append(append(x.order[:i:i], x.order[i+1:]...), digest)
			break
		}
	}
	return found
}
