package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
)

func newPullCommand(a *app) *cobra.Command {
	return newGroup("pull", "Pull artifacts from a registry", newPullArtifactCommand(a))
}

func newPullArtifactCommand(a *app) *cobra.Command {
	var registry registryFlags
	var dir string
	cmd := &cobra.Command{
		Use:   "artifact oci://HOST/REPOSITORY:TAG --output DIR",
		Short: "Write the files of an artifact into a directory",
		Long: "Write the files of an artifact into a directory that is there. Nothing is written outside of it, and a file that is\n" +
			"there already is overwritten.",
		Example: `  fleetctl pull artifact oci://ghcr.io/org/config/app:v1.0.0 --output ./app`,
		Args:    between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if dir == "" {
				return usagef(cmd, "--output is required")
			}
			return a.runPull(cmd, args[0], dir, registry)
		},
	}
	registry.add(cmd)
	cmd.Flags().StringVarP(&dir, "output", "o", "", "directory to write to")
	_ = cmd.MarkFlagDirname("output") // the flag is there
	return cmd
}

func (a *app) runPull(cmd *cobra.Command, address, dir string, registry registryFlags) error {
	reference, err := registry.parse(cmd, address)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return usagef(cmd, "--output: %s: %s", dir, innermost(err))
	}
	defer root.Close()
	ctx, cancel := a.bounded(cmd.Context(), followTimeout)
	defer cancel()
	a.say(symbolDo, "pulling artifact from %s", reference.Name())
	image, manifest, err := a.findArtifact(ctx, reference, registry)
	if err != nil {
		return err
	}
	written := 0
	err = a.readArtifact(ctx, reference, image, func(file artifact.Extracted) error {
		written++
		return writeBelow(root, file)
	})
	if err != nil {
		return err
	}
	for _, row := range [][2]string{{"source", manifest.Annotations[fleet.SourceAnnotation]}, {"revision", manifest.Annotations[fleet.RevisionAnnotation]}} {
		if row[1] != "" {
			a.say(symbolDone, "%s %s", row[0], row[1])
		}
	}
	digest, err := image.Digest()
	if err != nil {
		return err
	}
	a.say(symbolDone, "%s written to %s", count(written, "file"), dir)
	_, err = fmt.Fprintln(a.stdout, reference.Context().Digest(digest.String()).String())
	return err
}

// findArtifact asks a registry for an artifact.
func (a *app) findArtifact(ctx context.Context, reference name.Reference, registry registryFlags) (v1.Image, *v1.Manifest, error) {
	image, err := remote.Image(reference, registry.options(ctx)...)
	if err != nil {
		return nil, nil, a.explainRegistry("pull "+reference.Name(), reference, err)
	}
	manifest, err := image.Manifest()
	if err != nil {
		return nil, nil, a.explainRegistry("pull "+reference.Name(), reference, err)
	}
	return image, manifest, nil
}

// pullLimits are more than a hub takes: whoever pulls has asked for it.
var pullLimits = artifact.ExtractLimits{Compressed: 1 << 30, Unpacked: 4 << 30, File: 1 << 30, Ratio: 1000, Entries: artifact.MaxEntries}

// readArtifact gives the files of an artifact, which are in its first layer.
func (a *app) readArtifact(ctx context.Context, reference name.Reference, image v1.Image, take func(artifact.Extracted) error) error {
	layers, err := image.Layers()
	if err == nil && len(layers) == 0 {
		err = errors.New("there is no layer in it")
	}
	var content io.ReadCloser
	if err == nil {
		content, err = layers[0].Compressed()
	}
	if err != nil {
		return a.explainRegistry("pull "+reference.Name(), reference, err)
	}
	defer content.Close()
	warnings, err := artifact.Extract(ctx, content, pullLimits, take)
	for _, warning := range warnings {
		a.say(symbolWarn, "left out: %s", warning)
	}
	var broken *artifact.ArchiveError
	if errors.As(err, &broken) {
		return &failure{code: exitGeneral, what: reference.Name() + " is not an artifact that can be taken", why: broken.Message()}
	}
	return err
}

// writeBelow writes a file into a directory, and nowhere else, whatever symbolic links are there.
func writeBelow(root *os.Root, file artifact.Extracted) error {
	mode := fs.FileMode(0o644)
	if file.Mode == artifact.Executable {
		mode = 0o755
	}
	if dir := path.Dir(file.Path); dir != "." {
		if err := root.MkdirAll(dir, 0o755); err != nil {
			return refuse("%s: %s", file.Path, innermost(err))
		}
	}
	out, err := root.OpenFile(file.Path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return refuse("%s: %s", file.Path, innermost(err))
	}
	_, err = io.Copy(out, file.Content)
	return errors.Join(err, out.Close())
}
