package deploy

import (
	"context"
	"errors"
	"fmt"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
)

// material is an object as it is applied in this cluster, without its content.
type material struct {
	// Entry says of the resolved object what the Manifest's says of others; its digest is that of the content.
	manifest.Entry
	origin
}

// origin is what the content of an object is made of. It is kept instead of the content, of which a spoke could not hold
// all, and which is not written to disk where it has values of Secrets.
type origin struct {
	// source is the Manifest's entry.
	source manifest.Entry
	// inputs resolve it; nil: its blob is the content.
	inputs *inputs
	// secret says that a value of a Secret, or something decrypted, went into the content.
	secret bool
}

// content makes the content of an object anew; blobs are those of its Manifest.
func (o origin) content(ctx context.Context, blobs func(fleet.Digest) ([]byte, error)) ([]byte, error) {
	if o.inputs == nil {
		return o.inputs.blob(o.source, blobs)
	}
	made, err := o.inputs.make(ctx, o.source, blobs)
	return made.content, err
}

// blob is the content of an entry before it is resolved: from the cache, or of the build that was made here.
func (in *inputs) blob(source manifest.Entry, blobs func(fleet.Digest) ([]byte, error)) ([]byte, error) {
	if in != nil && in.built != nil {
		return in.built.blobs[source.Digest], nil
	}
	blob, err := blobs(source.Digest)
	if err != nil {
		return nil, fmt.Errorf("%s: content %s: %w", source.Ref, source.Digest, err)
	}
	return blob, nil
}

// made is a resolved object.
type made struct {
	entry   manifest.Entry
	content []byte
	secret  bool
	// plain says that nothing was resolved after all: the blob is the content.
	plain bool
}

// errSealed is all that is told of what is wrong with an object that has values of Secrets in it.
var errSealed = errors.New("with its variables it is not an object any more; it has values of Secrets in it, so more is not shown")

// make resolves the object of an entry.
func (in *inputs) make(ctx context.Context, source manifest.Entry, blobs func(fleet.Digest) ([]byte, error)) (made, error) {
	blob, err := in.blob(source, blobs)
	if err != nil {
		return made{}, err
	}
	return in.object(ctx, source, blob)
}

// object resolves an object, as Flux does, from its blob: decrypted, patched, with its variables, and the common metadata
// in place of its own.
func (in *inputs) object(ctx context.Context, source manifest.Entry, document []byte) (m made, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", source.Ref, err)
		}
	}()
	m.secret = in.built != nil
	if source.Encrypted {
		if document, err = in.plain(ctx, document); err != nil {
			return m, err
		}
		m.secret = true
	}
	patched := false
	if in.patches != nil && in.patches.May(source.Ref) {
		if document, patched, err = in.patches.Apply(document, in.common); err != nil {
			return m, err
		}
	}
	if !source.IsText() && !patched {
		return made{entry: source, content: document, secret: m.secret, plain: in.built == nil}, nil
	}
	exempt := !source.Substitute && !patched
	if in.substitutes && (source.Encrypted || patched) { // it may say something else now
		object, err := manifest.Parse(document)
		if err != nil {
			return m, in.explain(m, err)
		}
		exempt = manifest.Exempt(object)
	}
	if in.substitutes && !exempt {
		text, secret, err := in.variables.Text(string(document))
		if err != nil {
			return m, err
		}
		document, m.secret = []byte(text), m.secret || secret
	}
	object, err := manifest.Parse(document)
	if err == nil {
		m.entry, m.content, err = manifest.EntryOf(object, in.common)
	}
	return m, in.explain(m, err)
}

// explain is the reason why an object does not come out as one.
func (in *inputs) explain(m made, err error) error {
	switch {
	case err == nil:
		return nil
	case m.secret:
		return fmt.Errorf("%w: %w", fleet.ErrInvalid, errSealed)
	}
	return fmt.Errorf("%w: with its variables it is not an object any more: %w", fleet.ErrInvalid, err)
}
