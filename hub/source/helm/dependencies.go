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

// dependencies are those of a chart in a directory.
type dependencies struct {
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
func (ds *dependencies) resolve(ctx, limited context.Context, m *metadata, present map[string]bool) ([]addition, error) {
	declared, err := ds.declared(limited, m)
	if err != nil {
		return nil, err
	}
	if len(present) == len(declared) {
		return nil, nil
	}
	if limit := ds.look.limits.Dependencies; len(declared) > limit {
		return nil, tooLarge("the chart has %d dependencies; it may have %d", len(declared), limit)
	}
	ds.begun, ds.taken = time.Now(), map[string]bool{}
	var added []addition
	for _, d := range declared {
		if present[d.as()] || present[d.Name] {
			continue
		}
		more, err := ds.one(ctx, limited, d)
		if err != nil {
			return nil, inside(fmt.Sprintf("dependency %q", source.Shown(d.Name)), err)
		}
		if more != nil {
			added = append(added, more)
		}
	}
	return added, nil
}

// declared are the dependencies of the lock file, or else of the chart.
func (ds *dependencies) declared(ctx context.Context, m *metadata) ([]*dependency, error) {
	for _, name := range []string{"Chart.lock", "requirements.lock"} {
		text, err := ds.dir.read(ctx, name)
		if err != nil {
			return nil, err
		}
		if text == nil {
			continue
		}
		var lock struct {
			Dependencies []*dependency `json:"dependencies"`
		}
		at := source.Shown(path.Join(ds.dir.at, name))
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

func (ds *dependencies) one(ctx, limited context.Context, d *dependency) (addition, error) {
	if d.Repository == "" || strings.HasPrefix(d.Repository, "file://") {
		return ds.local(limited, d)
	}
	data, version, err := ds.remote(ctx, limited, d)
	if err != nil {
		return nil, err
	}
	more, err := ds.archive(limited, d, data)
	if err != nil {
		return nil, inside("version "+source.Shown(version), err)
	}
	return more, nil
}

// archive adds a packaged chart.
func (ds *dependencies) archive(ctx context.Context, d *dependency, data []byte) (addition, error) {
	found, err := ds.look.archive(ctx, data, 1, nil)
	if err != nil {
		return nil, err
	}
	if found.Name != d.Name {
		return nil, wrong("its name is %q", source.Shown(found.Name))
	}
	at := path.Join("charts", fileName(found.Name, found.Version))
	if !ds.take(at) {
		return nil, nil // needed twice, under two aliases
	}
	return func(_ context.Context, out *packer) error { return out.add(at, data) }, nil
}

// take reports whether the place in charts/ is free, and takes it.
func (ds *dependencies) take(at string) bool {
	if ds.taken[at] {
		return false
	}
	ds.taken[at] = true
	return true
}

// local finds a dependency in the source, and nowhere else: in charts/, or at a path from the chart.
func (ds *dependencies) local(ctx context.Context, d *dependency) (addition, error) {
	at := path.Join(ds.dir.at, "charts", d.Name)
	if d.Repository != "" {
		parsed, err := url.Parse(d.Repository)
		if err != nil {
			return nil, wrong("the repository %q is not a path", source.Shown(d.Repository))
		}
		at = path.Join(ds.dir.at, parsed.Host, parsed.Path)
	}
	constraint, err := semver.NewConstraint(d.Version)
	if err != nil {
		return nil, wrong("%q is not a version or a range of versions", source.Shown(d.Version))
	}
	if file, found := ds.tree.Lookup(at); found {
		if file.Size > ds.look.limits.Chart {
			return nil, tooLarge("%s has %d bytes; a chart may have %d", source.Shown(at), file.Size, ds.look.limits.Chart)
		}
		data, err := ds.chart.blob(ctx, file.Digest)
		if err != nil {
			return nil, err
		}
		return ds.archive(ctx, d, data)
	}
	dir, err := ds.chart.directory(ds.tree, at)
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
	return ds.files(ctx, d, dir)
}

// files adds a chart's directory.
func (ds *dependencies) files(ctx context.Context, d *dependency, dir *directory) (addition, error) {
	files, _, err := dir.look(ctx, ds.look)
	if err != nil {
		return nil, err
	}
	at := path.Join("charts", path.Base(d.as()))
	if _, isThere := ds.dir.files.Sub(at); isThere || !ds.take(at) {
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
func (ds *dependencies) remote(ctx, limited context.Context, d *dependency) (data []byte, version string, err error) {
	u, err := ds.repository(d.Repository)
	if err != nil {
		return nil, "", err
	}
	u.AsOf = ds.begun
	if strings.HasPrefix(repositorySpec(u).URL, "oci://") {
		from, err := ds.chart.registry(u, d.Name, d.Version)
		if err != nil {
			return nil, "", err
		}
		from.AsOf = ds.begun
		found, err := ds.chart.tag(ctx, from, d.Name, d.Version)
		if err != nil {
			return nil, "", err
		}
		data, _, err := ds.chart.layer(ctx, from, found)
		return data, versionOf(found), err
	}
	u = ofChart(u)
	digest, err := ds.chart.listed(ctx, limited, u)
	if err != nil {
		return nil, "", explain(ctx, limited, u, err)
	}
	index, err := ds.chart.indexes.get(limited, digest, func() ([]byte, error) { return ds.chart.blob(limited, digest) })
	if err != nil {
		return nil, "", err
	}
	release, err := index.find(d.Name, d.Version)
	if err != nil {
		return nil, "", err
	}
	data, _, err = ds.chart.release(ctx, limited, u, d.Name, release, nil)
	return data, release.version, err
}

// repository is the HelmRepository of the address, or one without credentials.
func (ds *dependencies) repository(address string) (source.Upstream, error) {
	named, ok := normal(address)
	if !ok || (!strings.HasPrefix(named, "http://") && !strings.HasPrefix(named, "https://") && !strings.HasPrefix(named, "oci://")) {
		if strings.HasPrefix(address, "@") || strings.HasPrefix(address, "alias:") {
			return source.Upstream{}, wrong("the repository %q is an alias, which only the machine of who wrote it knows; write its URL", source.Shown(address))
		}
		return source.Upstream{}, wrong("the repository %q is not of http, https, oci or file", source.Shown(source.Redact(address)))
	}
	for _, u := range ds.chart.u.Repositories {
		if has, _ := normal(repositorySpec(u).URL); has == named {
			u.Party = ds.chart.u.Party
			return u, nil
		}
	}
	spec := flux.HelmRepository{URL: named}
	if strings.HasPrefix(named, "oci://") {
		spec.Type = flux.HelmRepositoryOCI
	}
	return source.Upstream{
		ID: "dependency " + named, Remote: "dependency " + named, Kind: "HelmRepository", URL: source.Redact(named), Spec: spec,
		Party: ds.chart.u.Party, Timeout: cmp.Or(ds.chart.u.Timeout, time.Minute),
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
