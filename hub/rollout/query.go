package rollout

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Query selects Rollouts.
type Query struct {
	// App; zero: any. Namespace of the App; empty: any. Phases; none: any.
	App       fleet.Key
	Namespace string
	Phases    []Phase
	// After is the Mark of the last one of the page before; empty: the first page. Limit of the page; 0: 100.
	After string
	Limit int
}

// Mark is where a list of Rollouts, the newest first, goes on after r.
func (r *Rollout) Mark() string { return fmt.Sprintf("%d/%s", r.Created.UnixMicro(), r.ID) }

// Place is what After says.
func (q Query) Place() (created time.Time, id string, err error) {
	micros, id, found := strings.Cut(q.After, "/")
	n, err := strconv.ParseInt(micros, 10, 64)
	if !found || err != nil {
		return created, "", fmt.Errorf("%w: %q is not where a page of Rollouts ends: list from the beginning", fleet.ErrInvalid, q.After)
	}
	return time.UnixMicro(n).UTC(), id, nil
}

// MemberQuery selects clusters of a Rollout.
type MemberQuery struct {
	// Phases; none: any. Wave by name; empty: any.
	Phases []MemberPhase
	Wave   string
	// After is the Mark of the last one of the page before; empty: the first page. Limit of the page; 0: 500.
	After string
	Limit int
}

// Mark is where a list of members, by wave and turn, goes on after m.
func (m Member) Mark() string { return fmt.Sprintf("%d/%d", m.Wave, m.Turn) }

// Place is what After says.
func (q MemberQuery) Place() (wave, turn int, err error) {
	first, second, _ := strings.Cut(q.After, "/")
	wave, errWave := strconv.Atoi(first)
	turn, errTurn := strconv.Atoi(second)
	if errWave != nil || errTurn != nil {
		return 0, 0, fmt.Errorf("%w: %q is not where a page of clusters ends: list from the beginning", fleet.ErrInvalid, q.After)
	}
	return wave, turn, nil
}

// MemberNow is a Member, and its cluster as it is now.
type MemberNow struct {
	Member
	// Connected: the cluster was heard lately. Available: the App serves there, as it said last. Stale: it has succeeded, and
	// has not been heard for long.
	Connected, Available, Stale bool
	// HoldsPrune: it waits with deletions that nobody has approved yet.
	HoldsPrune bool
}

// Logged is an Event as it was recorded.
type Logged struct {
	// Number counts those of one Rollout.
	Number uint64
	At     time.Time
	Event
}

// Freeze keeps the fleet, or one cluster, from going forward.
type Freeze struct {
	// Cluster by name; empty: the fleet.
	Cluster string
	Reason  string
	// Actor and At; empty and zero where the Cluster's declaration says it.
	Actor string
	At    time.Time
}

// Frozen is all that is.
type Frozen struct {
	// Fleet; nil: it is not.
	Fleet *Freeze
	// Clusters by name.
	Clusters []Freeze
	// Version grows with every freeze, and with every end of one.
	Version uint64
}
