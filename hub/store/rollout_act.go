package store

import (
	"context"
	"errors"
	"reflect"
	"strings"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

// Act has a Command carried out for an actor, who is a principal or rollout.System, and returns the Rollout that it was
// about, without its members, as it is after it. The same request to start one begins it once.
func (s *Store) Act(ctx context.Context, actor string, app fleet.Key, c rollout.Command) (after rollout.Rollout, err error) {
	at, command := unwrap(c)
	by, act := System, action{verb: verbOf(command) + " rollout", object: app.Words(), detail: detailOf(at, command), dryRun: at.DryRun}
	if actor != rollout.System {
		by = fleet.Caller{Principal: actor}
	}
	err = s.transact(ctx, by, act, func(tx pgx.Tx) error {
		if err := lockApp(ctx, tx, app); err != nil {
			return err
		}
		start, starts := command.(rollout.Start)
		if starts && start.RequestID != "" {
			after, err = requested(ctx, tx, app, start.RequestID)
			if !errors.Is(err, fleet.ErrNotFound) {
				return err
			}
		}
		state, err := loadState(ctx, tx, app, namedBy(command)...)
		if err != nil {
			return err
		}
		step, err := rollout.Act(state, c)
		if err != nil {
			return err
		}
		if err := writeStep(ctx, tx, state, step); err != nil {
			return err
		}
		after, err = readRollout(ctx, tx, app, about(state, at, command))
		if _, retries := command.(rollout.RetryCluster); retries && errors.Is(err, fleet.ErrNotFound) {
			after, err = rollout.Rollout{}, nil // clusters catch up with what no Rollout has brought
		}
		return err
	})
	return after, err
}

// unwrap is what a Command is at its heart, and what its caller looked at.
func unwrap(c rollout.Command) (at rollout.At, command rollout.Command) {
	for {
		outer, wrapped := c.(rollout.At)
		if !wrapped {
			return at, c
		}
		at, c = outer, outer.Command
	}
}

// namedBy are the Releases that a Command names.
func namedBy(c rollout.Command) []fleet.Digest {
	var named fleet.Digest
	switch c := c.(type) {
	case rollout.Start:
		named = c.Target
	case rollout.Rollback:
		named = c.To
	}
	if named.IsZero() {
		return nil
	}
	return []fleet.Digest{named}
}

// about is the id of the Rollout that a Command is about; empty: the one under way after it, or else the newest.
func about(before rollout.State, at rollout.At, c rollout.Command) string {
	switch c.(type) {
	case rollout.Start, rollout.Rollback:
		return "" // it may have begun another one
	}
	switch {
	case before.Queued != nil && at.ID == before.Queued.ID:
		return at.ID
	case before.Active != nil:
		return before.Active.ID
	case before.Queued != nil:
		return before.Queued.ID
	}
	return ""
}

// verbOf is a Command in the audit log, such as "pause" or "retry-cluster".
func verbOf(c rollout.Command) string {
	var verb strings.Builder
	for i, letter := range reflect.TypeOf(c).Name() {
		if letter >= 'A' && letter <= 'Z' {
			if i > 0 {
				verb.WriteByte('-')
			}
			letter += 'a' - 'A'
		}
		verb.WriteRune(letter)
	}
	return verb.String()
}

// detailOf is what is worth saying of a Command in the audit log.
func detailOf(at rollout.At, c rollout.Command) string {
	switch c := c.(type) {
	case rollout.Pause:
		return detail(at.ID, c.Reason)
	case rollout.Resume:
		return detail(at.ID, when(c.AcceptCoverage, "accept-coverage"), when(c.RetryGate, "retry-gate"), c.Reason)
	case rollout.Decide:
		return detail(at.ID, c.Wave, c.Gate, when(c.Approve, "approved"), when(!c.Approve, "rejected"), c.Comment)
	case rollout.SkipGate:
		return detail(at.ID, c.Wave, c.Gate, c.Reason)
	case rollout.RetryCluster:
		return detail(at.ID, when(c.AllFailed, "all failed"), strings.Join(c.Clusters, " "), c.Reason)
	case rollout.SkipCluster:
		return detail(at.ID, when(c.AllFailed, "all failed"), when(c.AllDeferred, "all deferred"), when(c.AllStale, "all stale"), strings.Join(c.Clusters, " "), c.Reason)
	case rollout.Rollback:
		return detail(at.ID, string(c.Scope), c.To.String(), c.Reason)
	case rollout.Cancel:
		return detail(at.ID, c.Reason)
	case rollout.Start:
		return detail(c.Target.String(), when(c.AllowBad, "allow-bad"), when(c.Supersede, "supersede"), c.Reason)
	}
	return at.ID
}
