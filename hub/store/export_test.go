package store

import (
	"context"
	"time"
)

// RetainNow applies every rule once.
func (s *Store) RetainNow(ctx context.Context) error { return s.retain(ctx) }

// SweepObjectsNow removes objects that no row names, however young they are.
func (s *Store) SweepObjectsNow(ctx context.Context) error {
	if s.objects == nil {
		return nil
	}
	return s.sweepList(ctx, time.Now().Add(time.Hour))
}
