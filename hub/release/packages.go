package release

import (
	"context"

	"golang.org/x/sync/singleflight"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/build/cache"
	"flotilla.dev/flotilla/pkg/fleet"
)

// packages are the charts that were packaged last, by the Tree that they are in: one is packaged once for all HelmReleases
// of it, and not again for other values.
type packages struct {
	charts Charts
	kept   *cache.Cache[fleet.Digest, source.Chart]
	making singleflight.Group
}

// packageBytes bounds what is kept of packages.
const packageBytes = 32 << 20

func newPackages(charts Charts) *packages {
	return &packages{charts: charts, kept: cache.New[fleet.Digest, source.Chart](packageBytes)}
}

// of is the packaged chart that a Tree of that digest holds. Who asks while it is packaged waits for what comes of it; what
// failed is tried again by whoever asks next.
func (p *packages) of(ctx context.Context, digest fleet.Digest, tree *artifact.Tree) (source.Chart, error) {
	made, err, _ := p.making.Do(string(digest.Bytes()), func() (any, error) {
		if known, found := p.kept.Get(digest); found {
			return known, nil
		}
		chart, err := p.charts.Package(ctx, tree)
		if err == nil {
			p.kept.Put(digest, chart, int64(len(chart.Archive)))
		}
		return chart, err
	})
	chart, _ := made.(source.Chart)
	return chart, err
}
