package store

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

// PlanRollout returns the Rollout of an App that would begin now to a target, as ResolveRelease takes it, by a policy; nil: the
// one that its Placement names. It stores nothing.
func (s *Store) PlanRollout(ctx context.Context, app fleet.Key, target string, policy *fleet.RolloutPolicy) (preview rollout.Preview, err error) {
	act := action{verb: "plan a rollout of", object: app.Words(), dryRun: true}
	err = s.transact(ctx, System, act, func(tx pgx.Tx) error {
		release, err := resolveRelease(ctx, tx, app, target)
		if err != nil {
			return err
		}
		var named []fleet.Digest
		if !release.IsZero() {
			named = append(named, release)
		}
		state, err := loadState(ctx, tx, app, named...)
		if err != nil {
			return err
		}
		preview, err = rollout.Plan(state, release, policy)
		return err
	})
	return preview, err
}

// ResolveRelease finds a Release of an App by "sha256:<hex>", the beginning of that, or a revision that it was built from. The
// empty target is the App's newest one: the zero Digest.
func (s *Store) ResolveRelease(ctx context.Context, app fleet.Key, target string) (fleet.Digest, error) {
	return resolveRelease(ctx, s.pool, app, target)
}

func resolveRelease(ctx context.Context, q querier, app fleet.Key, target string) (fleet.Digest, error) {
	if target == "" {
		return fleet.Digest{}, nil
	}
	const revision = `SELECT release FROM app_revision WHERE app = $1 AND revision = $2`
	var raw []byte
	err := q.QueryRow(ctx, revision, app.String(), target).Scan(&raw)
	if err == nil {
		return fleet.DigestFromBytes(raw)
	}
	if !errors.Is(err, pgx.ErrNoRows) {
		return fleet.Digest{}, explain("find a revision of "+app.Words(), err)
	}
	digits, isDigest := strings.CutPrefix(target, "sha256:")
	if !isDigest {
		return fleet.Digest{}, fmt.Errorf("revision %s of %s: %w: `fleetctl history` lists those that were built", target, app.Words(), fleet.ErrNotFound)
	}
	if strings.Trim(digits, "0123456789abcdef") != "" || len(digits) > hex.EncodedLen(len(fleet.Digest{})) {
		return fleet.Digest{}, fmt.Errorf("%w: %q is not a digest of the form sha256:<64 hex digits>, or the beginning of one", fleet.ErrInvalid, target)
	}
	return releaseOf(ctx, q, app, digits)
}

// shownReleases is how many of several Releases an error names.
const shownReleases = 5

// releaseOf finds a Release by the first digits of its digest.
func releaseOf(ctx context.Context, q querier, app fleet.Key, digits string) (fleet.Digest, error) {
	const query = `SELECT digest FROM release WHERE app = $1 AND encode(digest, 'hex') LIKE $2 ORDER BY digest LIMIT $3`
	rows, err := q.Query(ctx, query, app.String(), digits+"%", shownReleases)
	if err != nil {
		return fleet.Digest{}, explain("find a Release of "+app.Words(), err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (fleet.Digest, error) {
		var raw []byte
		if err := row.Scan(&raw); err != nil {
			return fleet.Digest{}, err
		}
		return fleet.DigestFromBytes(raw)
	})
	switch {
	case err != nil:
		return fleet.Digest{}, explain("find a Release of "+app.Words(), err)
	case len(found) == 0:
		return fleet.Digest{}, fmt.Errorf("release sha256:%s of %s: %w: `fleetctl history` lists those that were built", digits, app.Words(), fleet.ErrNotFound)
	case len(found) > 1:
		return fleet.Digest{}, fmt.Errorf("%w: sha256:%s begins several Releases of %s: %v: write more digits", fleet.ErrInvalid, digits, app.Words(), found)
	}
	return found[0], nil
}
