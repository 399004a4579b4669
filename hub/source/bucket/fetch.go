package bucket

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
)

// Bounds of what is fetched at a time, in objects and in bytes.
const (
	parallel    = 8
	maxInFlight = 64 << 20
)

// fetch brings the objects that are not in the store yet, and returns the Tree of all.
func (b *Bucket) fetch(ctx context.Context, m *memory, u upstream, chosen []object) (*artifact.Tree, error) {
	if err := b.checkSizes(u, chosen); err != nil {
		return nil, err
	}
	files, err := b.unchanged(ctx, m, chosen)
	if err != nil {
		return nil, err
	}
	var wanted []object
	for _, o := range chosen {
		if _, here := files[o.key]; !here {
			wanted = append(wanted, o)
		}
	}
	if err := b.download(ctx, m, u, wanted, files); err != nil {
		return nil, err
	}
	listed := make([]artifact.File, 0, len(chosen))
	total := int64(0)
	for _, o := range chosen {
		f := files[o.key]
		total += f.size
		listed = append(listed, artifact.File{Path: o.key, Digest: f.digest, Size: f.size})
	}
	if total > b.config.Limits.Tree {
		return nil, u.tooMuch(b.config.Limits.Tree)
	}
	tree, err := artifact.NewTree(listed)
	if err != nil {
		return nil, u.Fail(source.KindContent, "%s", artifact.Message(err))
	}
	m.files = files
	return tree, nil
}

func (b *Bucket) checkSizes(u upstream, chosen []object) error {
	limits := b.config.Limits
	if len(chosen) > limits.Entries {
		return u.Fail(source.KindLimit, "it has %d files; a source may have %d", len(chosen), limits.Entries)
	}
	total := int64(0)
	for _, o := range chosen {
		if o.size > limits.File {
			return u.Fail(source.KindLimit, "the object %s has %d bytes; a file may have %d: leave it out by .sourceignore or spec.ignore", shown(o.key), o.size, limits.File)
		}
		if total += max(o.size, 0); total > limits.Tree {
			return u.tooMuch(limits.Tree)
		}
	}
	return nil
}

func (u upstream) tooMuch(limit int64) error {
	return u.Fail(source.KindLimit, "its files have more than %d MiB together; a source may have that much: leave some out by spec.prefix, .sourceignore or spec.ignore", limit>>20)
}

// unchanged are the files that were fetched before, have not changed and are still in the store.
func (b *Bucket) unchanged(ctx context.Context, m *memory, chosen []object) (map[string]file, error) {
	files := make(map[string]file, len(chosen))
	var digests []fleet.Digest
	for _, o := range chosen {
		f, known := m.files[o.key]
		if !known || o.etag == "" || f.etag != o.etag || (o.size >= 0 && f.size != o.size) {
			continue
		}
		files[o.key] = f
		digests = append(digests, f.digest)
	}
	if len(digests) == 0 {
		return files, nil
	}
	missing, err := b.config.Store.Missing(ctx, digests)
	if err != nil {
		return nil, &source.StoreFailure{Err: err}
	}
	lost := make(map[fleet.Digest]bool, len(missing))
	for _, digest := range missing {
		lost[digest] = true
	}
	for key, f := range files {
		if lost[f.digest] {
			delete(files, key)
		}
	}
	return files, nil
}

// fetched is an object's content; done lets another one come.
type fetched struct {
	object
	content []byte
	done    func()
}

// download fetches the objects several at a time, puts them into the store and into files.
func (b *Bucket) download(ctx context.Context, m *memory, u upstream, wanted []object, files map[string]file) error {
	group, ctx := errgroup.WithContext(ctx)
	room := semaphore.NewWeighted(maxInFlight)
	next, results := make(chan object), make(chan fetched)
	group.Go(func() error {
		defer close(next)
		for _, o := range wanted {
			select {
			case next <- o:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return nil
	})
	readers, inner := errgroup.WithContext(ctx)
	for range parallel {
		readers.Go(func() error {
			for o := range next {
				if err := b.bring(inner, m, u, o, room, results); err != nil {
					return err
				}
			}
			return nil
		})
	}
	group.Go(func() error {
		defer close(results)
		return readers.Wait()
	})
	group.Go(func() error {
		writer := source.NewWriter(b.config.Store, b.config.Metrics)
		for f := range results {
			digest, err := writer.Add(ctx, f.content)
			f.done()
			if err != nil {
				return err
			}
			files[f.key] = file{f.etag, digest, int64(len(f.content))}
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return writer.Flush(ctx)
	})
	return group.Wait()
}

// bring fetches one object. One that changed since the list is tried once more: the storage may not yet have agreed with
// itself.
func (b *Bucket) bring(ctx context.Context, m *memory, u upstream, o object, room *semaphore.Weighted, results chan<- fetched) error {
	weight := o.size
	if weight < 0 {
		weight = b.config.Limits.File
	}
	weight = min(weight, maxInFlight)
	if err := room.Acquire(ctx, weight); err != nil {
		return context.Cause(ctx)
	}
	content, err := read(ctx, m.storage, o, b.config.Limits.File)
	if errors.Is(err, errChanged) || errors.Is(err, errGone) {
		content, err = read(ctx, m.storage, o, b.config.Limits.File)
	}
	if errors.Is(err, errChanged) || errors.Is(err, errGone) {
		err = u.moved()
	}
	if err == nil {
		select {
		case results <- fetched{o, content, func() { room.Release(weight) }}:
			return nil
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	room.Release(weight)
	return err
}
