package helm

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"path"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/flux"
)

// fromRepository picks the chart from the index that was fetched of its HelmRepository.
func (c *chart) fromRepository(ctx context.Context) (*picked, error) {
	index, err := c.inputIndex(ctx)
	if err != nil {
		return nil, err
	}
	release, err := index.find(c.spec.Chart, c.spec.Version)
	if err != nil {
		return nil, err
	}
	version, err := c.marked(release.version, "")
	if err != nil {
		return nil, err
	}
	return &picked{version: version, build: func(ctx, limited context.Context) (*built, error) {
		verify, err := newProvenance(c.spec.Verify, c.u.Secrets[verifySecretRef])
		if err != nil {
			return nil, err
		}
		data, verified, err := c.release(ctx, limited, c.input.Upstream, c.spec.Chart, release, verify)
		if err != nil {
			return nil, err
		}
		made, err := c.repack(limited, data, version, false, nil)
		if err != nil {
			return nil, inside(titleOf(c.spec.Chart, release.version), err)
		}
		made.verified = verified
		return made, nil
	}}, nil
}

// inputIndex is the index of the HelmRepository that the chart is of.
func (c *chart) inputIndex(ctx context.Context) (*index, error) {
	tree, err := c.inputTree(ctx)
	if err != nil {
		return nil, err
	}
	file, found := tree.Lookup(indexFile)
	if !found {
		return nil, &problem{source.KindInput, fmt.Sprintf("HelmRepository %s has no index.yaml; it is tried again", c.input.Name)}
	}
	return c.indexes.get(ctx, file.Digest, func() ([]byte, error) { return c.blob(ctx, file.Digest) })
}

// inputTree is what was fetched of the source of the chart.
func (c *chart) inputTree(ctx context.Context) (*artifact.Tree, error) {
	tree, err := artifact.Load(ctx, c.config.Store, c.input.TreeBlob)
	if err != nil {
		return nil, &source.StoreFailure{Err: err}
	}
	return tree, nil
}

// ofChart is a HelmRepository that is asked for a chart, whose errors are told of the chart.
func ofChart(repository source.Upstream) source.Upstream {
	repository.Kind = chartKind
	return repository
}

// release downloads a version of a chart from where the repository's index says it is.
func (h *Helm) release(ctx, limited context.Context, repository source.Upstream, chart string, r release, verify *provenance) (data []byte, verified string, err error) {
	name := titleOf(chart, r.version)
	if r.url == "" {
		return nil, "", wrong("index.yaml does not say where the %s is", name)
	}
	client, err := h.client(ofChart(repository))
	if err != nil {
		return nil, "", err
	}
	at, err := client.chart(r.url)
	if err != nil {
		return nil, "", err
	}
	content, err := h.spool.File()
	if err != nil {
		return nil, "", err
	}
	defer content.Close()
	if _, err := client.get(ctx, limited, at, file{name: name, limit: h.config.Limits.Chart, to: content}); err != nil {
		return nil, "", err
	}
	if digest := content.Digest(); r.digest != "" && r.digest != hex.EncodeToString(digest[:]) {
		return nil, "", wrong("the %s has not the digest that index.yaml gives it: it was changed, or the index is old", name)
	}
	if data, err = content.Bytes(); err != nil {
		return nil, "", err
	}
	if verify == nil {
		return data, "", nil
	}
	// It stands beside the chart, under its name and .prov; what is in the query is for both.
	beside := *at
	beside.Path += ".prov"
	if beside.RawPath != "" {
		beside.RawPath += ".prov"
	}
	var signed bytes.Buffer
	if _, err := client.get(ctx, limited, &beside, file{name: "provenance of " + name, limit: maxProvenance, to: &signed}); err != nil {
		if source.KindOf(err) == source.KindRepository {
			return nil, "", &problem{source.KindSignature, "the " + name + " has no provenance file, and spec.verify wants one"}
		}
		return nil, "", err
	}
	verified, err = verify.check(data, signed.Bytes(), path.Base(at.Path), chart, r.version)
	return data, verified, err
}

// titleOf names a version of a chart in errors.
func titleOf(chart, version string) string {
	return fmt.Sprintf("chart %s %s", source.Shown(chart), source.Shown(version))
}

// repositorySpec is a HelmRepository's spec.
func repositorySpec(u source.Upstream) flux.HelmRepository {
	spec, _ := u.Spec.(flux.HelmRepository)
	return spec
}
