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

// conversation is what is kept of a bucket and prefix, as one credential sees it. One call uses it at a time.
type conversation struct {
	busy    chan struct{}
	storage storage // made at the first call
	listed  *list   // what was listed last
	// files are the objects of the last Tree, by key.
	files map[string]file

	// What follows is known's.
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
func (b *Bucket) converse(ctx context.Context, of source.Upstream, f func(context.Context, upstream, *conversation) error) error {
	spec, is := of.Spec.(flux.Bucket)
	if !is {
		return fmt.Errorf("%w: %s is no Bucket", fleet.ErrInvalid, of.Kind)
	}
	u := upstream{of, spec}
	c := b.known.take(u.conversation())
	defer b.known.release(c)
	select {
	case c.busy <- struct{}{}:
	case <-ctx.Done():
		return u.explain(ctx, ctx, nil, context.Cause(ctx))
	}
	defer func() { <-c.busy }()
	limited, cancel := context.WithTimeout(ctx, u.TimeLimit())
	defer cancel()
	done, err := b.config.Network.Turn(limited, of)
	if err != nil {
		return u.explain(ctx, limited, nil, err)
	}
	defer done()
	if c.storage == nil {
		made, err := b.connect(u)
		if err != nil {
			return err
		}
		c.storage = made
	}
	if err := f(limited, u, c); err != nil {
		return b.busy(u, u.explain(ctx, limited, c.storage, err))
	}
	return nil
}

// conversation names all that what a bucket lists and gives follows from: not what is ignored, nor when it is asked.
func (u upstream) conversation() fleet.Digest {
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

// known are the conversations, bounded by the objects that they remember together.
type known struct {
	limit int

	mu     sync.Mutex
	byKey  map[fleet.Digest]*conversation
	clock  int64
	weight int
}

// maxConversations bounds those that remember little.
const maxConversations = 2000

func newKnown(limit int) *known {
	return &known{limit: limit, byKey: map[fleet.Digest]*conversation{}}
}

func (k *known) take(key fleet.Digest) *conversation {
	k.mu.Lock()
	defer k.mu.Unlock()
	c := k.byKey[key]
	if c == nil {
		c = &conversation{busy: make(chan struct{}, 1), key: key}
		k.byKey[key] = c
	}
	c.users++
	return c
}

// release gives a conversation back, and forgets those that were used longest ago when there is too much to remember.
func (k *known) release(c *conversation) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.clock++
	c.used = k.clock
	if c.users--; c.users > 0 {
		return
	}
	k.weight -= c.weight
	c.weight = len(c.files)
	if c.listed != nil {
		c.weight += len(c.listed.objects)
	}
	k.weight += c.weight
	for k.weight > k.limit || len(k.byKey) > maxConversations {
		oldest := k.idle()
		if oldest == nil {
			return
		}
		k.weight -= oldest.weight
		delete(k.byKey, oldest.key)
	}
}

// idle is the conversation that nobody uses for longest.
func (k *known) idle() (oldest *conversation) {
	for _, c := range k.byKey {
		if c.users == 0 && (oldest == nil || c.used < oldest.used) {
			oldest = c
		}
	}
	return oldest
}
