package helm

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
)

// Config is what a Helm needs.
type Config struct {
	// Dir is where indexes and charts are until all of one is there. It is this process's own, and may be lost.
	Dir string
	// Store gets indexes and charts.
	Store artifact.Store
	// Network is how upstreams are reached.
	Network *source.Network
	// Registry is the Fetcher of OCIRepositories, which has the charts of registries.
	Registry source.Fetcher
	// Metrics of all kinds; nil is metrics that nobody sees.
	Metrics *source.Metrics
	// Limits are Flux's unless set.
	Limits Limits
}

// The fields of specs that name Secrets.
const (
	secretRef       = "secretRef"
	certSecretRef   = "certSecretRef"
	verifySecretRef = "verify.secretRef"
)

// chartKind is the kind of who asks for a chart.
const chartKind = "HelmChart"

// Limits bound what upstreams may be. A zero field has its default.
type Limits struct {
	// Index is the bytes of an index.yaml, 50 MiB; Chart those of a packaged chart, 10 MiB; File those of a file in one,
	// 5 MiB. They are Flux's.
	Index int64
	Chart int64
	File  int64
	// Unpacked is the bytes of all files of a chart and of the charts in it; 100 MiB, more than which helm does not load.
	Unpacked int64
	// Package is the bytes of a chart that is made here, with its dependencies; 32 MiB.
	Package int64
	// Files is the number of files of a chart and of the charts in it; 10,000.
	Files int
	// Dependencies is the number that a chart may have; 100.
	Dependencies int
	// Indexes is the bytes of the parsed indexes that are kept; 64 MiB.
	Indexes int64
}

func (l Limits) withDefaults() Limits {
	return Limits{
		Index: cmp.Or(l.Index, 50<<20), Chart: cmp.Or(l.Chart, 10<<20), File: cmp.Or(l.File, 5<<20), Unpacked: cmp.Or(l.Unpacked, 100<<20),
		Package: cmp.Or(l.Package, 32<<20), Files: cmp.Or(l.Files, 10_000), Dependencies: cmp.Or(l.Dependencies, 100), Indexes: cmp.Or(l.Indexes, 64<<20),
	}
}

// Helm fetches what there is of Helm.
type Helm struct {
	config   Config
	spool    *source.Spool
	indexes  *indexes
	memories *memories
}

// New returns a Helm.
func New(config Config) (*Helm, error) {
	if config.Dir == "" || config.Store == nil || config.Network == nil || config.Registry == nil {
		return nil, fmt.Errorf("helm sources: %w: no directory, no store, no network or no registry", fleet.ErrInvalid)
	}
	if config.Metrics == nil {
		config.Metrics = source.NewMetrics(nil)
	}
	config.Limits = config.Limits.withDefaults()
	spool, err := source.NewSpool(config.Dir)
	if err != nil {
		return nil, fmt.Errorf("helm sources: %w", err)
	}
	return &Helm{config: config, spool: spool, indexes: newIndexes(config.Limits.Indexes), memories: newMemories()}, nil
}

// Repositories is the Fetcher of HelmRepositories.
func (h *Helm) Repositories() source.Fetcher { return repositories{h} }

// Charts is the Fetcher of HelmCharts.
func (h *Helm) Charts() source.Fetcher { return charts{h} }

// artifact stores a file and is the Artifact of it alone.
func (h *Helm) artifact(ctx context.Context, name string, data []byte) (*source.Artifact, error) {
	writer := source.NewWriter(h.config.Store, h.config.Metrics)
	digest, err := writer.Add(ctx, data)
	if err = errors.Join(err, writer.Flush(ctx)); err != nil {
		return nil, err
	}
	tree, err := artifact.NewTree([]artifact.File{{Path: name, Digest: digest, Size: int64(len(data))}})
	if err != nil {
		return nil, wrong("the file name %q: %s", source.Shown(name), artifact.Message(err))
	}
	return &source.Artifact{Tree: tree, Detail: fleet.ArtifactDetail{Size: int64(len(data))}}, nil
}

// blob gets a blob that should be there.
func (h *Helm) blob(ctx context.Context, digest fleet.Digest) ([]byte, error) {
	data, err := h.config.Store.Get(ctx, digest)
	if err != nil {
		return nil, &source.StoreFailure{Err: err}
	}
	return data, nil
}
