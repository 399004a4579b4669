package cache

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/telemetry"
)

// touchPeriod is how exactly the order of use survives a restart: a file's time is set at most so often.
const touchPeriod = time.Hour

// bundle is a file of blobs that came together: to make a file of each takes longer than to write them. Before each blob
// stands its head.
type bundle struct {
	path    string
	size    int64 // of the file
	left    int64 // of it, what blobs take that are in the index or on their way there
	touched time.Time
}

// headSize is the length of a blob's head: its digest, and its size in eight bytes, the highest first.
const headSize = len(fleet.Digest{}) + 8

func (entry *blob) head() []byte {
	return binary.BigEndian.AppendUint64(entry.digest[:], uint64(entry.size))
}

// takes is what the blob takes of its bundle.
func (entry *blob) takes() int64 { return int64(headSize) + entry.size }

var errCorrupt = errors.New("its content is not as it was written")

func isCorrupt(err error) bool { return errors.Is(err, errCorrupt) }

// isAbsent reports whether a read failed because there is no such file, as on a volume that was lost.
func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// read returns the blob's content, verified.
func (entry *blob) read() ([]byte, error) {
	file, err := os.Open(entry.bundle.path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	data := make([]byte, entry.takes())
	switch _, err := file.ReadAt(data, entry.offset); {
	case errors.Is(err, io.EOF):
		return nil, errCorrupt
	case err != nil:
		return nil, err
	}
	head, content := data[:headSize], data[headSize:]
	if !bytes.Equal(head, entry.head()) || fleet.DigestOf(content) != entry.digest {
		return nil, errCorrupt
	}
	return content, nil
}

// touch has a restart find the bundle among those used last; the order is a hint.
func (b *bundle) touch() {
	now := time.Now()
	_ = os.Chtimes(b.path, now, now)
}

// bundle writes blobs into one file, which have their content until then.
func (c *Cache) bundle(blobs []*blob) error {
	path := c.bundlePath(c.sequence.Add(1))
	err := writeFile(path, blobs)
	if err != nil { // the first file, perhaps
		if err = os.MkdirAll(filepath.Dir(path), 0o700); err == nil {
			err = writeFile(path, blobs)
		}
	}
	if err != nil {
		_ = os.Remove(path)
		return err
	}
	b := &bundle{path: path, touched: time.Now()}
	for _, entry := range blobs {
		entry.bundle, entry.offset, entry.content = b, b.size, nil
		b.size += entry.takes()
	}
	b.left = b.size
	c.mu.Lock()
	defer c.mu.Unlock()
	c.grow(b.size)
	return nil
}

func writeFile(path string, blobs []*blob) (err error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	out := bufio.NewWriterSize(file, 64<<10)
	for _, entry := range blobs {
		_, _ = out.Write(entry.head())
		_, _ = out.Write(entry.content)
	}
	return out.Flush() // with the first error of all
}

// leave says that a blob of a bundle is not in the index. Without any, the bundle goes.
func (c *Cache) leave(entry *blob) {
	b := entry.bundle
	if b == nil {
		return
	}
	if b.left -= entry.takes(); b.left > 0 {
		return
	}
	c.grow(-b.size)
	_ = os.Remove(b.path) // left behind, it is indexed and dropped again after a restart
}

// rewrite puts what is left of a bundle into another one. What cannot be read stays where it is, or is dropped if it is
// corrupt.
func (c *Cache) rewrite(b *bundle) {
	var moving []*blob
	for _, entry := range c.blobs {
		if entry.bundle != b {
			continue
		}
		content, err := entry.read()
		switch {
		case isCorrupt(err):
			c.metrics.corrupt.Inc()
			c.drop(entry)
		case err == nil:
			moving = append(moving, &blob{digest: entry.digest, size: entry.size, content: content})
		}
	}
	if len(moving) == 0 {
		return
	}
	slices.SortFunc(moving, func(x, y *blob) int { return bytes.Compare(x.digest[:], y.digest[:]) })
	c.mu.Unlock()
	err := c.bundle(moving)
	c.mu.Lock()
	if err != nil {
		c.log.Warn("blobs cannot be moved; they stay", telemetry.KeyPath, b.path, telemetry.KeyErr, err)
		return
	}
	for _, moved := range moving {
		entry := c.blobs[moved.digest]
		if entry == nil || entry.bundle != b { // dropped meanwhile
			c.leave(moved)
			continue
		}
		was := *entry
		entry.bundle, entry.offset = moved.bundle, moved.offset
		c.leave(&was)
	}
}

// index finds the blobs of an earlier process, in the order of their use. Other files in their place are removed.
func (c *Cache) index() {
	dir := filepath.Join(c.dir, "blobs")
	entries, _ := os.ReadDir(dir) // what cannot be listed is not there
	var bundles []*bundle
	found := map[*bundle][]*blob{}
	newest := map[fleet.Digest]*bundle{} // names are in the order of writing, as are the entries
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		number, err := strconv.ParseUint(entry.Name(), 16, 64)
		c.sequence.Store(max(number, c.sequence.Load()))
		if info, statErr := entry.Info(); err == nil && statErr == nil && info.Mode().IsRegular() && c.bundlePath(number) == path {
			b := &bundle{path: path, size: info.Size(), touched: info.ModTime()}
			if found[b], err = b.list(); err == nil && len(found[b]) > 0 {
				bundles = append(bundles, b)
				for _, blob := range found[b] {
					newest[blob.digest] = b
				}
				continue
			}
		}
		_ = os.RemoveAll(path)
	}
	slices.SortStableFunc(bundles, func(x, y *bundle) int { return x.touched.Compare(y.touched) })
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range bundles {
		c.grow(b.size)
		for _, entry := range found[b] {
			b.left += entry.takes()
		}
		for _, entry := range found[b] {
			if newest[entry.digest] == b {
				c.add(entry)
			} else {
				c.leave(entry)
			}
		}
	}
	// No eviction before the first Put: until then nothing is pinned.
}

// list reads the heads of a bundle. What follows one that cannot be right is not listed: the write was cut off.
func (b *bundle) list() (blobs []*blob, err error) {
	file, err := os.Open(b.path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	head := make([]byte, headSize)
	for offset := int64(0); ; {
		if _, err := file.ReadAt(head, offset); err != nil {
			return blobs, nil
		}
		entry := &blob{digest: fleet.Digest(head[:len(fleet.Digest{})]), bundle: b, offset: offset}
		size := binary.BigEndian.Uint64(head[len(fleet.Digest{}):])
		if size > uint64(b.size) || offset+int64(headSize)+int64(size) > b.size {
			return blobs, nil
		}
		entry.size = int64(size)
		blobs = append(blobs, entry)
		offset += entry.takes()
	}
}

func (c *Cache) bundlePath(number uint64) string {
	return filepath.Join(c.dir, "blobs", fmt.Sprintf("%016x", number))
}
