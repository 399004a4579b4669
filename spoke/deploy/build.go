package deploy

import (
	"context"
	"errors"
	"fmt"

	"flotilla.dev/flotilla/pkg/build"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
	"flotilla.dev/flotilla/pkg/render"
	"flotilla.dev/flotilla/spoke/decrypt"
)

// built are the objects of a build that was made here, because files that it reads are encrypted. They are kept in memory,
// and nowhere else.
type built struct {
	entries []manifest.Entry
	blobs   manifest.Blobs
	// sources are the blobs that it was made of.
	sources []fleet.Digest
}

// build decrypts what is encrypted of a sub-tree's files, which are among the blobs, and has the sub-tree built. The
// builder sees no key.
func (e *Engine) build(
	ctx context.Context, t Target, instructions fleet.Digest, keys *decrypt.Keys, blobs func(fleet.Digest) ([]byte, error),
) (*built, error) {
	if e.config.Build == nil {
		return nil, fmt.Errorf("%w: it is to be built in the cluster, and this engine has no builder", fleet.ErrInvalid)
	}
	encoded, err := blobs(instructions)
	if err != nil {
		return nil, fmt.Errorf("what is to be built: content %s: %w", instructions, err)
	}
	subtree, err := build.DecodeSubtree(encoded)
	if err != nil {
		return nil, err
	}
	files, err := plainFiles(ctx, subtree, keys, blobs)
	if err != nil {
		return nil, err
	}
	for i, file := range subtree.Files {
		content := files[file.Path]
		subtree.Files[i].Digest, subtree.Files[i].Size = fleet.DigestOf(content), int64(len(content))
	}
	tree, err := subtree.Tree()
	if err != nil {
		return nil, err
	}
	byDigest := make(map[fleet.Digest][]byte, len(files))
	for _, content := range files {
		byDigest[fleet.DigestOf(content)] = content
	}
	result, err := e.config.Build(ctx, render.Job{
		Tenant: t.App.Namespace, Path: subtree.Path, Spec: subtree.Spec, Tree: tree,
		Blob: func(_ context.Context, digest fleet.Digest) ([]byte, error) { return byDigest[digest], nil },
	})
	if err != nil {
		return nil, sealed(err)
	}
	m, contents, err := manifest.New(result.Objects, manifest.OptionsOf(t.Release.ReleaseSpec))
	if err != nil {
		return nil, sealed(err)
	}
	b := &built{entries: m.Entries, blobs: contents}
	for _, entry := range t.Manifest.Entries {
		b.sources = append(b.sources, entry.Digest)
	}
	return b, nil
}

// plainFiles returns the files of a sub-tree, decrypted, by path.
func plainFiles(
	ctx context.Context, subtree build.Subtree, keys *decrypt.Keys, blobs func(fleet.Digest) ([]byte, error),
) (map[string][]byte, error) {
	files := make(map[string][]byte, len(subtree.Files))
	for _, file := range subtree.Files {
		if file.Size == 0 {
			files[file.Path] = nil // it has no blob
			continue
		}
		content, err := blobs(file.Digest)
		if err != nil {
			return nil, fmt.Errorf("%s: content %s: %w", file.Path, file.Digest, err)
		}
		files[file.Path] = content
	}
	for _, file := range subtree.Encrypted {
		plain, err := keys.File(ctx, file.Path, file.Format, files[file.Path])
		if err != nil {
			return nil, err
		}
		files[file.Path] = plain
	}
	return files, nil
}

// errBuild is all that is told of a build that fails on what the hub could not see.
var errBuild = errors.New("the build of the decrypted files fails; they may be in what kustomize says, so it is not shown: build them with kustomize where they are plain")

// sealed leaves out of a build's error what could be a part of a decrypted file.
func sealed(err error) error {
	switch {
	case errors.Is(err, fleet.ErrNotFound):
		return fmt.Errorf("%w: %w", fleet.ErrNotFound, errBuild)
	case errors.Is(err, fleet.ErrInvalid):
		return fmt.Errorf("%w: %w", fleet.ErrInvalid, errBuild)
	}
	return err // the builder's own, which has seen no file
}
