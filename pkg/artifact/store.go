package artifact

import (
	"context"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Store keeps blobs by digest. It sweeps what nothing has reached for a day, counted from when a blob was last put;
// so whoever means to name a blob in a row puts it first. artifacttest.RunStore says the rest.
type Store interface {
	// Put stores those of the blobs that are not stored yet, and refreshes the time of the others. A blob that is not
	// what its digest says is fleet.ErrInvalid, and then nothing is stored.
	Put(ctx context.Context, blobs map[fleet.Digest][]byte) error
	// Missing returns those of the digests that are not stored, in the order given, and refreshes the time of the
	// others, so that what was not missing can be named without being put again.
	Missing(ctx context.Context, digests []fleet.Digest) ([]fleet.Digest, error)
	// Get returns a blob, verified. One that is not stored is fleet.ErrNotFound.
	Get(ctx context.Context, digest fleet.Digest) ([]byte, error)
}

// Keeper is a Store that keeps what others need as long as these: a Tree, by its nodes.
type Keeper interface {
	Store
	// PutNodes stores the nodes that it lacks, and records what they need: their parts, which must be stored or among the
	// nodes before them, are kept as long as they are. One whose parts are not stored is an error, and nothing is recorded.
	PutNodes(ctx context.Context, nodes []Node) error
	// Kept returns which of the nodes are stored with all of their parts, and refreshes the time of these nodes: their
	// parts can be named without being put or asked for again.
	Kept(ctx context.Context, nodes []Node) (map[fleet.Digest]bool, error)
}
