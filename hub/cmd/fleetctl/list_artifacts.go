package main

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/pkg/fleet"
)

func newListCommand(a *app) *cobra.Command {
	return newGroup("list", "List artifacts of a registry", newListArtifactsCommand(a))
}

// listedArtifact is an artifact as it is listed.
type listedArtifact struct {
	URL      string `json:"url"`
	Digest   string `json:"digest"`
	Source   string `json:"source"`
	Revision string `json:"revision"`
}

func newListArtifactsCommand(a *app) *cobra.Command {
	var registry registryFlags
	var versions, pattern string
	cmd := &cobra.Command{
		Use:     "artifacts oci://HOST/REPOSITORY",
		Aliases: []string{"artifact"},
		Short:   "List the tags of a repository and what they are",
		Long:    "List the tags of a repository and what they are. Signatures and attestations are left out.",
		Example: `  fleetctl list artifacts oci://ghcr.io/org/config/app
  fleetctl list artifacts oci://ghcr.io/org/config/app --filter-semver '>=1.0.0 <3.0.0'`,
		Annotations: outputs("json", "yaml"),
		Args:        between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			choose, err := tagFilter(cmd, versions, pattern)
			if err != nil {
				return err
			}
			return a.runListArtifacts(cmd, args[0], choose, registry)
		},
	}
	registry.add(cmd)
	cmd.Flags().StringVar(&versions, "filter-semver", "", "only tags that are versions in this range")
	cmd.Flags().StringVar(&pattern, "filter-regex", "", "only tags that match this regular expression")
	return cmd
}

// tagFilter chooses tags.
func tagFilter(cmd *cobra.Command, versions, pattern string) (func(tag string) bool, error) {
	constraint, err := semver.NewConstraint(versions)
	if versions != "" && err != nil {
		return nil, usagef(cmd, "--filter-semver %q is not a range of versions", versions)
	}
	expression, err := regexp.Compile(pattern)
	if err != nil {
		return nil, usagef(cmd, "--filter-regex %q is not a regular expression", pattern)
	}
	return func(tag string) bool {
		for _, suffix := range []string{".att", ".sbom", ".sig"} {
			if strings.HasSuffix(tag, suffix) {
				return false
			}
		}
		if versions != "" {
			version, err := semver.NewVersion(tag)
			if err != nil || !constraint.Check(version) {
				return false
			}
		}
		return expression.MatchString(tag)
	}, nil
}

func (a *app) runListArtifacts(cmd *cobra.Command, address string, choose func(string) bool, registry registryFlags) error {
	reference, err := registry.parse(cmd, address)
	if err != nil {
		return err
	}
	ctx, cancel := a.bounded(cmd.Context(), followTimeout)
	defer cancel()
	tags, err := remote.List(reference.Context(), registry.options(ctx)...)
	if err != nil {
		return a.explainRegistry("list "+reference.Context().Name(), reference, err)
	}
	tags = slices.DeleteFunc(tags, func(tag string) bool { return !choose(tag) })
	slices.SortFunc(tags, func(a, b string) int { return strings.Compare(b, a) })
	listed := []listedArtifact{}
	for _, tag := range tags {
		artifact, err := a.describeTag(ctx, reference.Context().Tag(tag), registry)
		if err != nil {
			return err
		}
		listed = append(listed, artifact)
	}
	if written, err := a.emit(listed); written || err != nil {
		return err
	}
	table := a.table(nil, "ARTIFACT", "DIGEST", "SOURCE", "REVISION")
	for _, artifact := range listed {
		table.Add(artifact.URL, artifact.Digest, artifact.Source, artifact.Revision)
	}
	return table.Flush(a.stdout)
}

func (a *app) describeTag(ctx context.Context, tag name.Tag, registry registryFlags) (listedArtifact, error) {
	found, err := remote.Get(tag, registry.options(ctx)...)
	if err != nil {
		return listedArtifact{}, a.explainRegistry("look at "+tag.Name(), tag, err)
	}
	manifest, err := v1.ParseManifest(strings.NewReader(string(found.Manifest)))
	if err != nil {
		return listedArtifact{}, &failure{code: exitGeneral, what: tag.Name() + " has a manifest that cannot be read"}
	}
	return listedArtifact{URL: "oci://" + tag.Name(), Digest: found.Digest.String(),
		Source: manifest.Annotations[fleet.SourceAnnotation], Revision: manifest.Annotations[fleet.RevisionAnnotation]}, nil
}
