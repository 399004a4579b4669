package main

import (
	"errors"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/oci"
)

// pushedArtifact is what Flux's client tells of a push.
type pushedArtifact struct {
	URL        string `json:"url"`
	Repository string `json:"repository"`
	Tag        string `json:"tag"`
	Digest     string `json:"digest"`
}

func (a *app) pushToRegistry(cmd *cobra.Command, address string, f pushFlags, annotations map[string]string) error {
	reference, err := f.registry.parse(cmd, address)
	if err != nil {
		return err
	}
	tag, isTag := reference.(name.Tag)
	if !isTag {
		return usagef(cmd, "%s: an artifact is pushed to a tag", address)
	}
	ctx, cancel := a.bounded(cmd.Context(), followTimeout)
	defer cancel()
	archive, err := a.packed(ctx, cmd, f.files)
	if err != nil {
		return err
	}
	image, err := oci.New(archive, oci.Metadata{Source: f.source, Revision: f.revision, Created: f.created(a.now()), Annotations: annotations})
	if errors.Is(err, fleet.ErrInvalid) {
		return refuse("%s", err)
	}
	if err != nil {
		return err
	}
	digest, err := image.Digest()
	if err != nil {
		return err
	}
	if !f.dryRun {
		a.say(symbolDo, "pushing artifact to %s", tag.Name())
		if err := remote.Write(tag, image, f.registry.options(ctx)...); err != nil {
			return a.explainRegistry("push "+tag.Name(), tag, err)
		}
		a.say(symbolDone, "artifact is pushed to %s", tag.Name())
	}
	pushed := pushedArtifact{URL: "oci://" + tag.Context().Digest(digest.String()).String(), Repository: tag.Context().Name(), Tag: tag.TagStr(), Digest: digest.String()}
	if written, err := a.emit(pushed); written || err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.stdout, pushed.URL+" "+done("pushed", f.dryRun))
	return err
}
