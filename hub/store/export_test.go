package store

import (
	"context"
	"time"

	"flotilla.dev/flotilla/pkg/resource"
)

// RetainNow applies every rule once.
func (s *Store) RetainNow(ctx context.Context) error { return s.retain(ctx) }

// CallDueAt is CallDue at a time.
func (s *Store) CallDueAt(ctx context.Context, objects []*resource.Object, now time.Time) error {
	return s.callDue(ctx, objects, now)
}

// SweepObjectsNow removes objects that no row names, however young they are.
func (s *Store) SweepObjectsNow(ctx context.Context) error {
	if s.objects == nil {
		return nil
	}
	return s.sweepList(ctx, time.Now().Add(time.Hour))
}
