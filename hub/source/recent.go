package source

import (
	"container/list"
	"sync"
)

// Recent remembers values by key: those that were used last, as far as there is room for them together.
type Recent[K comparable, V any] struct {
	room int

	mu     sync.Mutex
	byKey  map[K]*list.Element
	order  list.List // of *remembered[K, V], the last used first
	weight int
}

type remembered[K comparable, V any] struct {
	key    K
	value  V
	weight int
}

// NewRecent returns an empty one with room for values of that weight.
func NewRecent[K comparable, V any](room int) *Recent[K, V] {
	return &Recent[K, V]{room: room, byKey: map[K]*list.Element{}}
}

// Get returns what is remembered under the key, and uses it by that.
func (r *Recent[K, V]) Get(key K) (value V, found bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.get(key)
}

// GetOr is Get, or a Put of what is made, with weight 1. Nobody waits while it is made: of several that are made at once the
// first is for all. What fails is not remembered.
func (r *Recent[K, V]) GetOr(key K, make func() (V, error)) (V, error) {
	if value, found := r.Get(key); found {
		return value, nil
	}
	value, err := make()
	if err != nil {
		return value, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if first, found := r.get(key); found {
		return first, nil
	}
	r.put(key, value, 1)
	return value, nil
}

// Put remembers a value, whose weight is 1 at least: there is nothing that takes no room. What was not used for longest is
// forgotten where there is too much; the last one is kept, whatever its weight.
func (r *Recent[K, V]) Put(key K, value V, weight int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.put(key, value, weight)
}

func (r *Recent[K, V]) get(key K) (value V, found bool) {
	at, found := r.byKey[key]
	if !found {
		return value, false
	}
	r.order.MoveToFront(at)
	return at.Value.(*remembered[K, V]).value, true
}

func (r *Recent[K, V]) put(key K, value V, weight int) {
	weight = max(weight, 1)
	if at, found := r.byKey[key]; found {
		r.forget(at)
	}
	r.byKey[key] = r.order.PushFront(&remembered[K, V]{key, value, weight})
	r.weight += weight
	for r.weight > r.room && r.order.Len() > 1 {
		r.forget(r.order.Back())
	}
}

func (r *Recent[K, V]) forget(at *list.Element) {
	gone := r.order.Remove(at).(*remembered[K, V])
	delete(r.byKey, gone.key)
	r.weight -= gone.weight
}
