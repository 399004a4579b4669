package bucket

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

// memory is what is kept of a bucket and prefix, as one credential sees it. One call uses it at a time.
type memory struct {
	busy    chan struct{}
	storage storage // made at the first call
	listed  *list   // what was listed last
	// files are the objects of the last Tree, by key.
	files map[string]file

	// What follows is the memories'.
	key    fleet.Digest
	users  int
	used   int64
	weight int
}

// list is a bucket's list, sorted by key, each there once, without markers of directories.
type list struct {
	begun   time.Time
	objects []object
	// rules is the content of the bucket's .sourceignore object, and ruled that object; nil: there is none.
	rules []byte
	ruled *object
}

// file is an object in the store.
type file struct {
	etag   string
	digest fleet.Digest
	size   int64
}

// converse runs f in a conversation with the upstream, alone in it, and words what goes wrong.
func (b *Bucket) converse(ctx context.Context, of source.Upstream, f func(context.Context, upstream, *memory) error) error {
	spec, is := of.Spec.(flux.Bucket)
	if !is {
		return fmt.Errorf("%w: %s is no Bucket", fleet.ErrInvalid, of.Kind)
	}
	u := upstream{of, spec}
	m := b.memories.take(u.memory())
	defer b.memories.release(m)
	select {
	case m.busy <- struct{}{}:
	case <-ctx.Done():
		return u.explain(ctx, ctx, nil, context.Cause(ctx))
	}
	defer func() { <-m.busy }()
	limited, cancel := context.WithTimeout(ctx, u.TimeLimit())
	defer cancel()
	done, err := b.config.Network.Turn(limited, of)
	if err != nil {
		return u.explain(ctx, limited, nil, err)
	}
	defer done()
	if m.storage == nil {
		made, err := b.connect(u)
		if err != nil {
			return err
		}
		m.storage = made
	}
	if err := f(limited, u, m); err != nil {
		return b.busy(u, u.explain(ctx, limited, m.storage, err))
	}
	return nil
}

// memory names what a bucket's list and objects follow from: not what is ignored, nor when it is asked.
func (u upstream) memory() fleet.Digest {
	spec := u.spec
	spec.Interval, spec.Timeout, spec.Ignore, spec.Suspend = nil, nil, nil, false
	name, err := json.Marshal(struct {
		Remote   string
		Spec     flux.Bucket
		Secrets  source.Secrets
		Identity bool
	}{u.Remote, spec, u.Secrets, u.Identity})
	if err != nil {
		panic(err) // all of it can be JSON
	}
	return fleet.DigestOf(name)
}

// memories are bounded by the objects that they hold together.
type memories struct {
	limit int

	mu     sync.Mutex
	byKey  map[fleet.Digest]*memory
	clock  int64
	weight int
}

// maxMemories bounds those that hold little.
const maxMemories = 2000

func newMemories(limit int) *memories {
	return &memories{limit: limit, byKey: map[fleet.Digest]*memory{}}
}

func (all *memories) take(key fleet.Digest) *memory {
	all.mu.Lock()
	defer all.mu.Unlock()
	m := all.byKey[key]
	if m == nil {
		m = &memory{busy: make(chan struct{}, 1), key: key}
		all.byKey[key] = m
	}
	m.users++
	return m
}

// release gives a memory back, and forgets those that were used longest ago when there is too much to remember.
func (all *memories) release(m *memory) {
	all.mu.Lock()
	defer all.mu.Unlock()
	all.clock++
	m.used = all.clock
	if m.users--; m.users > 0 {
		return
	}
	all.weight -= m.weight
	m.weight = len(m.files)
	if m.listed != nil {
		m.weight += len(m.listed.objects)
	}
	all.weight += m.weight
	for all.weight > all.limit || len(all.byKey) > maxMemories {
		oldest := all.idle()
		if oldest == nil {
			return
		}
		all.weight -= oldest.weight
		delete(all.byKey, oldest.key)
	}
}

// idle is the one that nobody uses for longest.
func (all *memories) idle() (oldest *memory) {
	for _, m := range all.byKey {
		if m.users == 0 && (oldest == nil || m.used < oldest.used) {
			oldest = m
		}
	}
	return oldest
}
