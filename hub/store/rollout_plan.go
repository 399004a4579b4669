package store

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
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

// ResolveRelease finds a Release of an App by "sha256:<hex>", the beginning of that, or a revision that it was built from, whole
// or as [fleet.Revision.NamedBy] has it. The empty target is the App's newest one: the zero Digest.
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
	what := "revision"
	if digits, isDigest := strings.CutPrefix(target, "sha256:"); isDigest {
		what = "release"
		if !isHex(digits) || len(digits) > hex.EncodedLen(len(fleet.Digest{})) {
			return fleet.Digest{}, fmt.Errorf("%w: %q is not a digest of the form sha256:<64 hex digits>, or the beginning of one", fleet.ErrInvalid, target)
		}
	}
	names, releases, err := releasesNamed(ctx, q, app, target)
	switch {
	case err != nil:
		return fleet.Digest{}, err
	case len(releases) == 0:
		return fleet.Digest{}, fmt.Errorf("%s %s of %s: %w: `fleetctl history` lists those that were built", what, target, app.Words(), fleet.ErrNotFound)
	case len(releases) > 1:
		return fleet.Digest{}, fmt.Errorf("%w: %s is several Releases of %s: %v: write more digits", fleet.ErrInvalid, target, app.Words(), names[:min(len(names), shownReleases)])
	}
	return releases[0], nil
}

// shownReleases is how many of several Releases an error names.
const shownReleases = 5

// releasesNamed finds the Releases that a person may mean by the beginning of a digest, or of the hash of a revision, and a name
// of each.
func releasesNamed(ctx context.Context, q querier, app fleet.Key, target string) (names []string, releases []fleet.Digest, err error) {
	digits := target[strings.LastIndexAny(target, ":@")+1:]
	if !isHex(digits) {
		return nil, nil, nil
	}
	const query = `SELECT revision, release FROM app_revision WHERE app = $1 AND revision LIKE '%' || $2 || '%'
		UNION ALL SELECT 'sha256:' || encode(digest, 'hex'), digest FROM release WHERE app = $1 AND encode(digest, 'hex') LIKE $2 || '%'
		ORDER BY 1`
	rows, err := q.Query(ctx, query, app.String(), digits)
	if err != nil {
		return nil, nil, explain("find a Release of "+app.Words(), err)
	}
	var name string
	var raw []byte
	_, err = pgx.ForEachRow(rows, []any{&name, &raw}, func() error {
		begins := strings.HasPrefix(target, "sha256:") && strings.HasPrefix(name, target)
		if !begins && !fleet.Revision(name).NamedBy(target) {
			return nil
		}
		release, err := fleet.DigestFromBytes(raw)
		if err == nil && !slices.Contains(releases, release) {
			names, releases = append(names, name), append(releases, release)
		}
		return err
	})
	return names, releases, explain("find a Release of "+app.Words(), err)
}

func isHex(text string) bool { return strings.Trim(text, "0123456789abcdef") == "" }
