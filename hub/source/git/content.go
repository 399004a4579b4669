package git

import (
	"errors"
	"fmt"
	"io"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
)

// errLost says that the store has lost what an earlier walk knew to be there: the next one takes nothing over.
var errLost = errors.New("the store has lost files")

// store puts the files that the store lacks, and returns the Tree of all of them. A file of an earlier Tree is not read
// again, and not asked for unless the piece of the Tree that it is in is new: what the store keeps it keeps whole.
func (w *walker) store(root, old *dir) (*artifact.Tree, error) {
	c := collector{walker: w, writer: source.NewWriter(w.git.config.Store, w.git.config.Metrics), written: map[fleet.Digest]bool{}, old: old}
	if count := count(root) + len(w.included); count > w.git.config.Limits.Entries {
		return nil, w.upstream.Fail(source.KindLimit, "it has %d files; a source may have %d; leave some out by .sourceignore", count, w.git.config.Limits.Entries)
	}
	c.files = make([]artifact.File, 0, root.seen+len(w.included))
	if err := c.collect(root); err != nil {
		return nil, err
	}
	if err := c.writer.Flush(w.ctx); err != nil {
		return nil, err
	}
	tree, err := artifact.NewTree(append(c.files, w.included...))
	if err != nil {
		return nil, w.upstream.Fail(source.KindContent, "%s; rename it, or leave it out by .sourceignore", artifact.Message(err))
	}
	if limit := w.git.config.Limits.Tree; tree.Size() > limit {
		return nil, w.tooLarge()
	}
	return tree, c.confirm(tree)
}

// count is how many files of a directory are kept, with those below.
func count(d *dir) int {
	n := 0
	for _, e := range d.entries {
		switch {
		case e.sub != nil:
			n += count(e.sub)
		case e.kept:
			n++
		}
	}
	return n
}

func (w *walker) tooLarge() error {
	return w.upstream.Fail(source.KindLimit, "its files have more than %d MiB together; leave some out by .sourceignore", w.git.config.Limits.Tree>>20)
}

// collector gathers the files of a Tree.
type collector struct {
	*walker
	writer  *artifact.Writer
	files   []artifact.File
	size    int64
	written map[fleet.Digest]bool // what was put just now
	old     *dir
	blobs   map[plumbing.Hash]entry // of the old Tree, once they are asked for
	unknown int
}

func (c *collector) collect(d *dir) error {
	for i := range d.entries {
		e := &d.entries[i]
		switch {
		case e.sub != nil:
			if err := c.collect(e.sub); err != nil {
				return err
			}
		case e.kept:
			path := join(d.path, e.name)
			if !e.known {
				if err := c.take(d, e, path); err != nil {
					return err
				}
			}
			if c.size += e.size; c.size > c.git.config.Limits.Tree {
				return c.tooLarge()
			}
			c.files = append(c.files, artifact.File{Path: path, Mode: modeOf(e.mode), Digest: e.digest, Size: e.size})
		}
	}
	return nil
}

// take finds out what a file is in the store: from where else it is in the old Tree, or by putting it there.
func (c *collector) take(d *dir, e *entry, path string) error {
	// A file or two are read faster than all others are listed.
	if c.unknown++; c.unknown > 8 && c.blobs == nil && c.old != nil {
		c.blobs = make(map[plumbing.Hash]entry, c.old.seen)
		c.list(c.old)
	}
	if other, known := c.blobs[e.hash]; known && other.size <= c.git.config.Limits.File {
		e.known, e.digest, e.size = true, other.digest, other.size
		return nil
	}
	if err := artifact.CheckPath(path); err != nil { // before it is in any other error
		return c.upstream.Fail(source.KindContent, "%s; rename it, or leave it out by .sourceignore", artifact.Message(err))
	}
	data, err := c.read(d, e.name, e.hash, c.git.config.Limits.File)
	if err != nil {
		return err
	}
	digest, err := c.writer.Add(c.ctx, data)
	if err != nil {
		return err
	}
	c.written[digest] = true
	e.known, e.digest, e.size = true, digest, int64(len(data))
	return nil
}

func (c *collector) list(d *dir) {
	for _, e := range d.entries {
		if e.sub != nil {
			c.list(e.sub)
		} else if e.known {
			c.blobs[e.hash] = e
		}
	}
}

// confirm asks the store for what it was not given just now. It is asked for whole pieces of the Tree first, which it keeps
// with all their files.
func (c *collector) confirm(tree *artifact.Tree) error {
	nodes := tree.Nodes()
	kept, err := c.git.config.Store.Kept(c.ctx, nodes)
	if err != nil {
		return &source.StoreFailure{Err: err}
	}
	var ask []fleet.Digest
	own := make(map[fleet.Digest]bool, len(nodes))
	for _, node := range nodes {
		own[node.Digest] = true
		if kept[node.Digest] {
			continue
		}
		for _, part := range node.Parts {
			if !c.written[part] && !own[part] {
				ask = append(ask, part)
			}
		}
	}
	for len(ask) > 0 {
		n := min(len(ask), maxAsked)
		missing, err := c.git.config.Store.Missing(c.ctx, ask[:n])
		if err != nil {
			return &source.StoreFailure{Err: err}
		}
		if len(missing) > 0 {
			return errLost
		}
		ask = ask[n:]
	}
	return nil
}

const (
	// maxAsked is how many digests the store is asked about at a time.
	maxAsked = 10_000
	// maxIncludedFiles is what an included Tree may have beside.
	maxIncludedFiles = artifact.MaxEntries
)

// read returns the content of a file of a directory, compared with its hash: a disk may have changed it.
func (w *walker) read(d *dir, name string, hash plumbing.Hash, limit int64) ([]byte, error) {
	if err := w.ctx.Err(); err != nil {
		return nil, err
	}
	path := source.Shown(join(d.path, name))
	mirror, open := w.mirrors[d.module]
	if !open {
		return nil, errLost // of a submodule that was not entered: its directory was taken over
	}
	encoded, err := mirror.storage.EncodedObject(plumbing.BlobObject, hash)
	if err != nil {
		return nil, &damageError{fmt.Errorf("file %s: %w", path, err)}
	}
	if encoded.Size() > limit {
		return nil, w.upstream.Fail(source.KindLimit, "%s has %d bytes; a file may have %d; leave it out by .sourceignore", path, encoded.Size(), limit)
	}
	reader, err := encoded.Reader()
	if err != nil {
		return nil, &damageError{fmt.Errorf("file %s: %w", path, err)}
	}
	data, err := io.ReadAll(io.LimitReader(reader, limit+1))
	err = errors.Join(err, reader.Close())
	if err == nil && plumbing.ComputeHash(plumbing.BlobObject, data) != hash {
		err = errors.New("its content is not of its hash")
	}
	if err != nil {
		return nil, &damageError{fmt.Errorf("file %s: %w", path, err)}
	}
	return data, nil
}

// modeOf is what a Tree knows of a mode.
func modeOf(mode filemode.FileMode) artifact.FileMode {
	if mode == filemode.Executable {
		return artifact.Executable
	}
	return artifact.Regular
}
