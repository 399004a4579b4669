package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
)

func newDiffArtifactCommand(a *app) *cobra.Command {
	var f fileFlags
	var registry registryFlags
	cmd := &cobra.Command{
		Use:   "artifact oci://HOST/REPOSITORY:TAG --path DIR",
		Short: "Show which files an artifact and a directory have otherwise",
		Long: "Show which files an artifact and a directory have otherwise: + is only in the directory, - only in the artifact, ± in\n" +
			"both. The exit code is 0 without differences, 1 with some, and more when something went wrong.",
		Example:     `  fleetctl diff artifact oci://ghcr.io/org/config/app:v1.0.0 --path ./deploy`,
		Annotations: outputs("json", "yaml"),
		Args:        between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := demand(cmd, "path"); err != nil {
				return err
			}
			return notDifferent(a, a.runDiffArtifact(cmd, args[0], f, registry))
		},
	}
	f.add(cmd, "f")
	registry.add(cmd)
	return cmd
}

// fileDifference is a file that two artifacts have otherwise.
type fileDifference struct {
	Path string `json:"path"`
	// Change is added, removed or changed.
	Change string `json:"change"`
}

func (a *app) runDiffArtifact(cmd *cobra.Command, address string, f fileFlags, registry registryFlags) error {
	reference, err := registry.parse(cmd, address)
	if err != nil {
		return err
	}
	ctx, cancel := a.bounded(cmd.Context(), followTimeout)
	defer cancel()
	archive, err := a.packed(ctx, cmd, f)
	if err != nil {
		return err
	}
	local, err := treeOf(ctx, archive)
	if err != nil {
		return err
	}
	image, _, err := a.findArtifact(ctx, reference, registry)
	if err != nil {
		return err
	}
	pulled := newDigests()
	if err := a.readArtifact(ctx, reference, image, pulled.take); err != nil {
		return err
	}
	differences := differ(pulled.files, local)
	if written, err := a.emit(differences); err != nil {
		return err
	} else if !written {
		for _, d := range differences {
			mark := map[string]string{"added": "+", "removed": "-", "changed": "±"}[d.Change]
			if _, err := fmt.Fprintln(a.stdout, mark, d.Path); err != nil {
				return err
			}
		}
	}
	if len(differences) > 0 {
		return errDifferent
	}
	a.say(symbolDone, "no changes detected")
	return nil
}

// treeOf are the files of an archive of one's own.
func treeOf(ctx context.Context, archive []byte) (map[string]artifact.File, error) {
	local := newDigests()
	_, err := artifact.Extract(ctx, bytes.NewReader(archive), pullLimits, local.take)
	return local.files, err
}

// differ compares what was with what is.
func differ(before, after map[string]artifact.File) []fileDifference {
	differences := []fileDifference{}
	for _, path := range slices.Sorted(maps.Keys(after)) {
		old, had := before[path]
		switch {
		case !had:
			differences = append(differences, fileDifference{path, "added"})
		case old != after[path]:
			differences = append(differences, fileDifference{path, "changed"})
		}
	}
	for _, path := range slices.Sorted(maps.Keys(before)) {
		if _, has := after[path]; !has {
			differences = append(differences, fileDifference{path, "removed"})
		}
	}
	slices.SortStableFunc(differences, func(a, b fileDifference) int { return cmp.Compare(a.Path, b.Path) })
	return differences
}

// digests are files without their content.
type digests struct{ files map[string]artifact.File }

func newDigests() *digests { return &digests{files: map[string]artifact.File{}} }

func (d *digests) take(file artifact.Extracted) error {
	sum := sha256.New()
	size, err := io.Copy(sum, file.Content)
	d.files[file.Path] = artifact.File{Path: file.Path, Mode: file.Mode, Size: size, Digest: fleet.Digest(sum.Sum(nil))}
	return err
}
