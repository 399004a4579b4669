package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/sourceignore"
	"github.com/fluxcd/pkg/sourceignore/gitignore"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
)

// walker makes the Tree of a commit.
type walker struct {
	ctx      context.Context // it lives as long as the call
	git      *Git
	upstream Upstream
	mirror   *mirror
	state    *upstream

	entries  []entry
	seen     int
	patterns []gitignore.Pattern
	warnings []string
}

// entry is a file of the commit.
type entry struct {
	path string
	hash plumbing.Hash
	mode artifact.FileMode
}

const (
	// maxSeen bounds the entries that are walked, ignored ones included: a tree may hold the same tree again and again.
	maxSeen = 1_000_000
	// maxPatterns and maxIgnoreFile bound what every path is compared with.
	maxPatterns   = 10_000
	maxIgnoreFile = 1 << 20
	// maxWarnings bounds the list of what was dropped.
	maxWarnings = 100
)

func (w *walker) tree(commit plumbing.Hash) (*artifact.Tree, error) {
	found, err := object.GetCommit(w.mirror.storage, commit)
	if err != nil {
		return nil, &damageError{fmt.Errorf("commit %s: %w", commit, err)}
	}
	if err := w.walk(found.TreeHash, "", 0); err != nil {
		return nil, err
	}
	if err := w.ignore(); err != nil {
		return nil, err
	}
	files, err := w.store()
	if err != nil {
		return nil, err
	}
	tree, err := artifact.NewTree(files)
	if err != nil {
		return nil, w.upstream.fail(KindContent, "%s; rename it, or leave it out by .sourceignore", strings.TrimPrefix(err.Error(), fleet.ErrInvalid.Error()+": "))
	}
	tree.Warnings = w.warnings
	return tree, nil
}

// walk collects the files of a directory and of those in it.
func (w *walker) walk(hash plumbing.Hash, dir string, depth int) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if depth > artifact.MaxDepth {
		return w.upstream.fail(KindContent, "%q is more than %d directories deep", short(dir), artifact.MaxDepth)
	}
	tree, err := object.GetTree(w.mirror.storage, hash)
	if err != nil {
		return &damageError{fmt.Errorf("tree %s of %q: %w", hash, dir, err)}
	}
	// The patterns of a directory go before those of the ones in it.
	for _, e := range tree.Entries {
		if e.Name == sourceignore.IgnoreFile && e.Mode.IsRegular() {
			if err := w.readPatterns(e.Hash, dir); err != nil {
				return err
			}
		}
	}
	for _, e := range tree.Entries {
		if w.seen++; w.seen > maxSeen {
			return w.upstream.fail(KindLimit, "it has more than %d entries, ignored ones included", maxSeen)
		}
		name := dir + e.Name
		switch e.Mode {
		case filemode.Dir:
			err = w.walk(e.Hash, name+"/", depth+1)
		case filemode.Regular, filemode.Deprecated:
			w.entries = append(w.entries, entry{name, e.Hash, artifact.Regular})
		case filemode.Executable:
			w.entries = append(w.entries, entry{name, e.Hash, artifact.Executable})
		case filemode.Symlink:
			w.warn("symbolic link %s", name)
		case filemode.Submodule:
			w.warn("submodule %s", name)
		default:
			w.warn("%s, of unknown mode %s", name, e.Mode)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) warn(format, name string, args ...any) {
	if len(w.warnings) < maxWarnings {
		w.warnings = append(w.warnings, fmt.Sprintf(format, append([]any{short(name)}, args...)...))
	}
}

// short is a path as it may be shown, whatever an upstream put into it.
func short(name string) string {
	if len(name) > 200 {
		name = name[:200] + "..."
	}
	return strings.Trim(fmt.Sprintf("%q", name), `"`)
}

func (w *walker) readPatterns(hash plumbing.Hash, dir string) error {
	data, err := w.read(entry{path: dir + sourceignore.IgnoreFile, hash: hash}, maxIgnoreFile)
	if err != nil {
		return err
	}
	var domain []string
	if dir != "" {
		domain = strings.Split(strings.TrimSuffix(dir, "/"), "/")
	}
	w.patterns = append(w.patterns, sourceignore.ReadPatterns(strings.NewReader(string(data)), domain)...)
	if len(w.patterns) > maxPatterns {
		return w.upstream.fail(KindLimit, "its .sourceignore files have more than %d patterns", maxPatterns)
	}
	return nil
}

// ignore drops what the patterns say. As in Flux they are asked of every file by itself, so a later pattern may bring
// back a file of an ignored directory; and the defaults for images, archives and CI hold only while there are none.
func (w *walker) ignore() error {
	matcher := sourceignore.NewDefaultMatcher(w.patterns, nil)
	if len(w.patterns) > 0 {
		matcher = sourceignore.NewMatcher(append(sourceignore.VCSPatterns(nil), w.patterns...))
	}
	kept := w.entries[:0]
	for i, e := range w.entries {
		if i%1024 == 0 && w.ctx.Err() != nil {
			return w.ctx.Err()
		}
		if !matcher.Match(strings.Split(e.path, "/"), false) {
			kept = append(kept, e)
		}
	}
	w.entries = kept
	if len(kept) > w.git.config.Limits.Entries {
		return w.upstream.fail(KindLimit, "it has %d files; a source may have %d; leave some out by .sourceignore", len(kept), w.git.config.Limits.Entries)
	}
	return nil
}

// store puts the files that the store lacks, and returns all of them. A file that was in the last Tree is not read
// again, unless the store has lost it.
func (w *walker) store() ([]artifact.File, error) {
	known := w.state.known()
	files := make([]artifact.File, len(w.entries))
	batch := batch{walker: w}
	var again []fleet.Digest // known ones, which the store should have
	at := map[fleet.Digest]entry{}
	blobs := make(map[plumbing.Hash]blob, len(w.entries))
	var total int64
	for i, e := range w.entries {
		if err := artifact.CheckPath(e.path); err != nil { // before it is in any error
			return nil, w.upstream.fail(KindContent, "%s; rename it, or leave it out by .sourceignore", strings.TrimPrefix(err.Error(), fleet.ErrInvalid.Error()+": "))
		}
		b, isKnown := blobs[e.hash]
		if !isKnown {
			if b, isKnown = known[e.hash]; isKnown {
				again = append(again, b.digest)
				at[b.digest] = e
			}
		}
		if !isKnown {
			data, err := w.read(e, w.git.config.Limits.File)
			if err != nil {
				return nil, err
			}
			b = blob{fleet.DigestOf(data), int64(len(data))}
			if err := batch.add(b.digest, data); err != nil {
				return nil, err
			}
		}
		blobs[e.hash] = b
		if total += b.size; total > w.git.config.Limits.Tree {
			return nil, w.upstream.fail(KindLimit, "its files have more than %d MiB together; leave some out by .sourceignore", w.git.config.Limits.Tree>>20)
		}
		files[i] = artifact.File{Path: e.path, Mode: e.mode, Digest: b.digest, Size: b.size}
	}
	for chunk := range slices.Chunk(again, maxAsked) {
		missing, err := w.git.config.Store.Missing(w.ctx, chunk)
		if err != nil {
			return nil, w.storeError(err)
		}
		for _, digest := range missing {
			data, err := w.read(at[digest], w.git.config.Limits.File)
			if err != nil {
				return nil, err
			}
			if err := batch.add(digest, data); err != nil {
				return nil, err
			}
		}
	}
	if err := batch.flush(); err != nil {
		return nil, err
	}
	w.state.keep(blobs)
	return files, nil
}

// maxAsked is how many digests the store is asked about at a time.
const maxAsked = 10_000

// read returns the content of a file, compared with its hash: a disk may have changed it.
func (w *walker) read(e entry, limit int64) ([]byte, error) {
	if err := w.ctx.Err(); err != nil {
		return nil, err
	}
	encoded, err := w.mirror.storage.EncodedObject(plumbing.BlobObject, e.hash)
	if err != nil {
		return nil, &damageError{fmt.Errorf("file %s: %w", short(e.path), err)}
	}
	if encoded.Size() > limit {
		return nil, w.upstream.fail(KindLimit, "%s has %d bytes; a file may have %d; leave it out by .sourceignore", short(e.path), encoded.Size(), limit)
	}
	reader, err := encoded.Reader()
	if err != nil {
		return nil, &damageError{fmt.Errorf("file %s: %w", short(e.path), err)}
	}
	data, err := io.ReadAll(io.LimitReader(reader, limit+1))
	err = errors.Join(err, reader.Close())
	if err == nil && plumbing.ComputeHash(plumbing.BlobObject, data) != e.hash {
		err = errors.New("its content is not of its hash")
	}
	if err != nil {
		return nil, &damageError{fmt.Errorf("file %s: %w", short(e.path), err)}
	}
	return data, nil
}

func (w *walker) storeError(err error) error {
	if w.ctx.Err() != nil {
		return w.ctx.Err()
	}
	return storeError(w.upstream, err)
}

// batch writes blobs several at a time, and only those that are missing.
type batch struct {
	walker *walker
	blobs  map[fleet.Digest][]byte
	size   int
}

// Bounds of a batch: what is held in memory.
const (
	maxBatch     = 4 << 20
	maxBatchSize = 500
)

func (b *batch) add(digest fleet.Digest, data []byte) error {
	if b.blobs == nil {
		b.blobs = map[fleet.Digest][]byte{}
	}
	b.blobs[digest] = data
	if b.size += len(data); b.size >= maxBatch || len(b.blobs) >= maxBatchSize {
		return b.flush()
	}
	return nil
}

func (b *batch) flush() error {
	if len(b.blobs) == 0 {
		return nil
	}
	w := b.walker
	if err := w.git.config.Store.Put(w.ctx, b.blobs); err != nil {
		return w.storeError(err)
	}
	w.git.metrics.blobs.Add(float64(len(b.blobs)))
	b.blobs, b.size = nil, 0
	return nil
}

func (s *upstream) known() map[plumbing.Hash]blob {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.blobs
}

func (s *upstream) keep(blobs map[plumbing.Hash]blob) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blobs = blobs
}
