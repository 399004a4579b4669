package drift

import (
	"context"
	"errors"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/run"
)

// startWatches starts what is not watched yet and stops what nobody needs any more.
func (t *Tracker) startWatches(ctx context.Context, running *sync.WaitGroup) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for gk, k := range t.kinds {
		switch {
		case len(k.objects) == 0:
			if k.cancel != nil {
				k.cancel()
			}
			delete(t.kinds, gk)
		case k.cancel == nil:
			watching, cancel := context.WithCancel(ctx)
			k.cancel = cancel
			running.Go(func() {
				defer cancel()
				t.watch(watching, k)
			})
		}
	}
}

// errRemap ends a watch whose kind has to be looked up again.
var errRemap = errors.New("the kind is not served where it was")

func (t *Tracker) watch(ctx context.Context, k *kind) {
	ref := fleet.ObjectRef{Group: k.gk.Group, Version: k.version, Kind: k.gk.Kind}
	log := t.config.Log.With("kind", k.gk.String())
	told := ""
	for wait := retryFirst; ctx.Err() == nil; wait = min(2*wait, retryMax) {
		began := time.Now()
		mapped, err := t.config.Map(ctx, ref)
		if err == nil {
			t.mu.Lock()
			k.trusted = mapped.Trusted
			t.mu.Unlock()
			err = t.followKind(ctx, k, mapped)
			if errors.Is(err, errRemap) {
				wait = retryFirst
			}
		}
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > retryMax {
			told = "" // it was watched since
		}
		if text := err.Error(); text != told {
			log.Warn("not watched for now; trying on", "err", err)
			told = text
		}
		_ = run.Sleep(ctx, wait) // the loop looks at ctx
	}
}

func (t *Tracker) followKind(ctx context.Context, k *kind, mapped Kind) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	resource := t.config.Client.Resource(mapped.Resource)
	var before uint64
	Follow(ctx, Source{
		Selector: t.config.Selector,
		List: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return resource.List(ctx, options)
		},
		Watch: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			return resource.Watch(ctx, options)
		},
	}, Follower{
		Listing: func() {
			t.mu.Lock()
			defer t.mu.Unlock()
			before = k.highest
		},
		Listed: func(items []metav1.Object, version uint64) { t.listed(k, items, version, version < before) },
		Event:  func(kind watch.EventType, object metav1.Object) { t.event(k, kind, object) },
		Failed: func(err error) {
			if apierrors.IsNotFound(err) {
				cancel(errRemap)
				return
			}
			t.config.Log.Debug("watch again", "kind", k.gk.String(), "err", err)
		},
	})
	return context.Cause(ctx)
}

// listed compares a list with what is known. Rewound says that the cluster's past is another one now, as after etcd
// was restored: then nothing that is known holds.
func (t *Tracker) listed(k *kind, items []metav1.Object, version uint64, rewound bool) {
	var said []*news
	events := make([]event, len(items))
	for i, item := range items {
		live := item.(*metav1.PartialObjectMetadata)
		events[i] = event{ref: k.ref(place{live.Namespace, live.Name}), facts: t.config.Facts(live), live: live, gap: true, version: version}
	}
	t.mu.Lock()
	if rewound {
		t.config.Log.Warn("the cluster went back to an older state; every object is looked at", "kind", k.gk.String())
		for _, o := range k.objects {
			o.State, o.seen = State{}, 0
		}
		k.highest = version
	}
	k.highest = max(k.highest, version)
	k.synced = true
	present := make(map[*object]bool, len(items))
	for _, e := range events {
		if o := k.objects[placeOf(e.ref)]; o != nil {
			present[o] = true
			said = append(said, t.handle(k, o, e))
		}
	}
	for p, o := range k.objects {
		if !present[o] {
			said = append(said, t.handle(k, o, event{ref: k.ref(p), gone: true, gap: true, version: version}))
		}
	}
	t.mu.Unlock()
	for _, news := range said {
		t.tell(news)
	}
}

func (t *Tracker) event(k *kind, kind watch.EventType, object metav1.Object) {
	live := object.(*metav1.PartialObjectMetadata)
	p := place{live.Namespace, live.Name}
	e := event{ref: k.ref(p), version: parseVersion(live.ResourceVersion), gone: kind == watch.Deleted}
	t.mu.Lock()
	k.highest = max(k.highest, e.version)
	tracked := k.objects[p] != nil
	t.mu.Unlock()
	if !tracked {
		return
	}
	if !e.gone {
		e.facts, e.live = t.config.Facts(live), live
	}
	var said *news
	t.mu.Lock()
	if o := k.objects[p]; o != nil {
		said = t.handle(k, o, e)
	}
	t.mu.Unlock()
	t.tell(said)
}
