package helm

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/flux"
)

// needs are the dependencies of a chart in a directory.
type needs struct {
	chart *chart
	tree  *artifact.Tree
	dir   *directory
	look  *inspection
	// begun is when the first was looked for: what a repository said since then does for all.
	begun time.Time
	taken map[string]bool // paths in charts/
}

// addition adds a dependency to a package.
type addition func(ctx context.Context, out *packer) error

// resolve finds the dependencies that the chart has not in it, which are present by name. As in Flux what is in Chart.lock goes
// before Chart.yaml, whatever its digest; and where as many charts are in the chart as it needs, none is looked for.
// Dependencies of dependencies are in those, as helm package puts them there.
func (n *needs) resolve(ctx, limited context.Context, m *metadata, present map[string]bool) ([]addition, error) {
	wanted, err := n.wanted(limited, m)
	if err != nil {
		return nil, err
	}
	if len(present) == len(wanted) {
		return nil, nil
	}
	if limit := n.look.limits.Dependencies; len(wanted) > limit {
		return nil, tooLarge("the chart has %d dependencies; it may have %d", len(wanted), limit)
	}
	n.begun, n.taken = time.Now(), map[string]bool{}
	var added []addition
	for _, d := range wanted {
		if present[d.as()] || present[d.Name] {
			continue
		}
		more, err := n.one(ctx, limited, d)
		if err != nil {
			return nil, inside(fmt.Sprintf("dependency %q", source.Shown(d.Name)), err)
		}
		if more != nil {
			added = append(added, more)
		}
	}
	return added, nil
}

// wanted are the dependencies of the lock file, or else of the chart.
func (n *needs) wanted(ctx context.Context, m *metadata) ([]*dependency, error) {
	for _, name := range []string{"Chart.lock", "requirements.lock"} {
		text, err := n.dir.read(ctx, name)
		if err != nil {
			return nil, err
		}
		if text == nil {
			continue
		}
		var lock struct {
			Dependencies []*dependency `json:"dependencies"`
		}
		at := source.Shown(path.Join(n.dir.at, name))
		if err := decode(at, trimmed(text), &lock); err != nil {
			return nil, err
		}
		for _, d := range lock.Dependencies {
			if d == nil || d.Name == "" {
				return nil, wrong("%s: it has an empty dependency", at)
			}
		}
		return lock.Dependencies, nil
	}
	return m.Dependencies, nil
}

func (n *needs) one(ctx, limited context.Context, d *dependency) (addition, error) {
	if d.Repository == "" || strings.HasPrefix(d.Repository, "file://") {
		return n.local(limited, d)
	}
	data, err := n.remote(ctx, limited, d)
	if err != nil {
		return nil, err
	}
	return n.archive(limited, d, data)
}

// archive adds a packaged chart.
func (n *needs) archive(ctx context.Context, d *dependency, data []byte) (addition, error) {
	found, err := n.look.archive(ctx, data, 1, nil)
	if err != nil {
		return nil, err
	}
	if found.Name != d.Name {
		return nil, wrong("the chart's name is %q", source.Shown(found.Name))
	}
	at := path.Join("charts", fileName(found.Name, found.Version))
	if !n.take(at) {
		return nil, nil // needed twice, under two aliases
	}
	return func(_ context.Context, out *packer) error { return out.add(at, data) }, nil
}

// take reports whether the place in charts/ is free, and takes it.
func (n *needs) take(at string) bool {
	if n.taken[at] {
		return false
	}
	n.taken[at] = true
	return true
}

// local finds a dependency in the source, and nowhere else: in charts/, or at a path from the chart.
func (n *needs) local(ctx context.Context, d *dependency) (addition, error) {
	at := path.Join(n.dir.at, "charts", d.Name)
	if d.Repository != "" {
		parsed, err := url.Parse(d.Repository)
		if err != nil {
			return nil, wrong("the repository %q is not a path", source.Shown(d.Repository))
		}
		at = path.Join(n.dir.at, parsed.Host, parsed.Path)
	}
	constraint, err := semver.NewConstraint(d.Version)
	if err != nil {
		return nil, wrong("%q is not a version or a range of versions", source.Shown(d.Version))
	}
	if file, found := n.tree.Lookup(at); found {
		if file.Size > n.look.limits.Chart {
			return nil, tooLarge("%s has %d bytes; a chart may have %d", source.Shown(at), file.Size, n.look.limits.Chart)
		}
		data, err := n.chart.blob(ctx, file.Digest)
		if err != nil {
			return nil, err
		}
		return n.archive(ctx, d, data)
	}
	dir, err := n.chart.directory(n.tree, at)
	if err != nil {
		return nil, err
	}
	m, err := dir.metadata(ctx)
	if err != nil {
		return nil, err
	}
	version, err := semver.NewVersion(m.Version)
	if err != nil || !constraint.Check(version) {
		return nil, wrong("%s has version %s, which is not in the range %q", source.Shown(at), source.Shown(m.Version), source.Shown(d.Version))
	}
	return n.files(ctx, d, dir)
}

// files adds a chart's directory.
func (n *needs) files(ctx context.Context, d *dependency, dir *directory) (addition, error) {
	files, _, err := dir.look(ctx, n.look)
	if err != nil {
		return nil, err
	}
	at := path.Join("charts", path.Base(d.as()))
	if _, isThere := n.dir.files.Sub(at); isThere || !n.take(at) {
		return nil, wrong("its place in the chart, %s, is another's", source.Shown(at))
	}
	return func(ctx context.Context, out *packer) error {
		for _, file := range files {
			data, err := dir.read(ctx, file.Path)
			if err != nil {
				return err
			}
			if err := out.add(path.Join(at, file.Path), data); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

// remote downloads a dependency from its repository, with the credentials of the namespace's HelmRepository of that address,
// if there is one.
func (n *needs) remote(ctx, limited context.Context, d *dependency) ([]byte, error) {
	u, err := n.repository(d.Repository)
	if err != nil {
		return nil, err
	}
	u.AsOf = n.begun
	if strings.HasPrefix(repositorySpec(u).URL, "oci://") {
		from, err := n.chart.registry(u, d.Name, d.Version)
		if err != nil {
			return nil, err
		}
		from.AsOf = n.begun
		found, err := n.chart.tag(ctx, from, d.Name, d.Version)
		if err != nil {
			return nil, err
		}
		data, _, err := n.chart.layer(ctx, from, found)
		return data, err
	}
	digest, err := n.chart.listed(ctx, limited, u)
	if err != nil {
		return nil, explain(ctx, limited, u, err)
	}
	index, err := n.chart.indexes.get(limited, digest, func() ([]byte, error) { return n.chart.blob(limited, digest) })
	if err != nil {
		return nil, err
	}
	release, err := index.find(d.Name, d.Version)
	if err != nil {
		return nil, err
	}
	data, _, err := n.chart.release(ctx, limited, u, d.Name, release, nil)
	return data, err
}

// repository is the HelmRepository of the address, or one without credentials.
func (n *needs) repository(address string) (source.Upstream, error) {
	wanted, ok := normal(address)
	if !ok || (!strings.HasPrefix(wanted, "http://") && !strings.HasPrefix(wanted, "https://") && !strings.HasPrefix(wanted, "oci://")) {
		if strings.HasPrefix(address, "@") || strings.HasPrefix(address, "alias:") {
			return source.Upstream{}, wrong("the repository %q is an alias, which only the machine of who wrote it knows; write its URL", source.Shown(address))
		}
		return source.Upstream{}, wrong("the repository %q is not of http, https, oci or file", source.Shown(source.Redact(address)))
	}
	for _, u := range n.chart.u.Repositories {
		if has, _ := normal(repositorySpec(u).URL); has == wanted {
			u.Party = n.chart.u.Party
			return u, nil
		}
	}
	spec := flux.HelmRepository{URL: wanted}
	if strings.HasPrefix(wanted, "oci://") {
		spec.Type = flux.HelmRepositoryOCI
	}
	return source.Upstream{
		ID: "dependency " + wanted, Remote: "dependency " + wanted, Kind: "HelmRepository", URL: source.Redact(wanted), Spec: spec,
		Party: n.chart.u.Party, Timeout: cmp.Or(n.chart.u.Timeout, time.Minute),
	}, nil
}

// normal is an address of a repository as one of two that are the same: with one slash at its end over HTTP, with none in a
// registry.
func normal(address string) (string, bool) {
	parsed, err := url.Parse(address)
	if err != nil || parsed.Host == "" || parsed.User != nil {
		return "", false
	}
	end := "/"
	if parsed.Scheme == "oci" {
		end = ""
	}
	parsed.Path = strings.TrimRight(parsed.Path, "/") + end
	if parsed.RawPath != "" {
		parsed.RawPath = strings.TrimRight(parsed.RawPath, "/") + end
	}
	return parsed.String(), true
}
