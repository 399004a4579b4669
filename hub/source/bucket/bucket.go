package bucket

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

// Config is what a Bucket needs.
type Config struct {
	// Store gets the files of Trees.
	Store artifact.Store
	// Network is how upstreams are reached.
	Network *source.Network
	// Metrics of all kinds; nil is metrics that nobody sees.
	Metrics *source.Metrics
	// Limits of what an upstream may be; zero fields are the defaults.
	Limits source.Limits
	// Remembered bounds the objects whose digests are kept, of all buckets together, so that they are not fetched again;
	// default 400,000, about 120 MiB.
	Remembered int
	// Log gets what a person may want to look into; nil is slog's default.
	Log *slog.Logger
}

// Bucket fetches buckets.
type Bucket struct {
	config   Config
	identity identity
	memories *memories
}

var _ source.Fetcher = (*Bucket)(nil)

// New returns a Bucket.
func New(config Config) (*Bucket, error) {
	if config.Store == nil || config.Network == nil {
		return nil, fmt.Errorf("buckets: %w: no store or no network", fleet.ErrInvalid)
	}
	config.Limits = config.Limits.WithDefaults()
	config.Log = cmp.Or(config.Log, slog.Default())
	if config.Metrics == nil {
		config.Metrics = source.NewMetrics(nil)
	}
	return &Bucket{config: config, identity: hubIdentity(), memories: newMemories(cmp.Or(config.Remembered, 400_000))}, nil
}

// Resolve implements source.Fetcher. It lists the bucket, a request a thousand objects, and reads .sourceignore if there
// is one.
func (b *Bucket) Resolve(ctx context.Context, u source.Upstream) (source.Found, error) {
	var found source.Found
	err := b.converse(ctx, u, func(ctx context.Context, u upstream, m *memory) error {
		chosen, err := b.choose(ctx, m, u, u.AsOf)
		if err != nil {
			return err
		}
		found.Revision = revision(chosen)
		return nil
	})
	if err != nil {
		return source.Found{}, err
	}
	return found, nil
}

// Fetch implements source.Fetcher.
func (b *Bucket) Fetch(ctx context.Context, u source.Upstream, found source.Found) (*source.Artifact, error) {
	var tree *artifact.Tree
	err := b.converse(ctx, u, func(ctx context.Context, u upstream, m *memory) error {
		// What Resolve listed will do, if it is at hand.
		chosen, err := b.choose(ctx, m, u, longAgo)
		if err == nil && revision(chosen) != found.Revision {
			chosen, err = b.choose(ctx, m, u, time.Time{})
		}
		if err != nil {
			return err
		}
		if revision(chosen) != found.Revision {
			return u.moved()
		}
		if tree, err = b.fetch(ctx, m, u, chosen); err != nil {
			m.listed = nil // it may have been of what is no more
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	detail := fleet.ArtifactDetail{Size: tree.Size()}
	if detail.Observed, err = observed(u); err != nil {
		return nil, err
	}
	return &source.Artifact{Tree: tree, Detail: detail}, nil
}

// observed is what Flux repeats in a Bucket's status of the spec that the artifact was made by.
func observed(u source.Upstream) (json.RawMessage, error) {
	spec, _ := u.Spec.(flux.Bucket)
	if spec.Ignore == nil {
		return nil, nil
	}
	return json.Marshal(struct {
		Ignore *string `json:"observedIgnore"`
	}{spec.Ignore})
}

// longAgo is before every list.
var longAgo = time.Unix(0, 0)

// upstream is a source.Upstream with its spec.
type upstream struct {
	source.Upstream
	spec flux.Bucket
}

// moved is what is to be fetched being gone.
func (u upstream) moved() error {
	failure := u.Fail(source.KindServer, "the bucket changed while it was fetched; it is tried again")
	failure.RetryAfter = time.Second
	return failure
}
