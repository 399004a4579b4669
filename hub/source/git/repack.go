package git

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/idxfile"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"

	"flotilla.dev/flotilla/hub/source"
)

const (
	// maxSmallPacks is how many small packs a mirror may have before they become one: each fetch adds one, and each is
	// looked into for every object.
	maxSmallPacks = 40
	// smallPack is what counts as one, in bytes.
	smallPack = 8 << 20
)

// repack puts the small packs of a mirror into one. An interruption leaves objects that are there twice, which does no
// harm. What is wrong with a mirror is found out by whoever reads it.
func (m *mirror) repack() error {
	small, err := m.smallPacks()
	if err != nil || len(small) <= maxSmallPacks {
		return err
	}
	var objects []plumbing.Hash
	for _, pack := range small {
		more, err := m.objectsIn(pack)
		if err != nil {
			return &damageError{err}
		}
		objects = append(objects, more...)
	}
	slices.SortFunc(objects, func(a, b plumbing.Hash) int { return slices.Compare(a[:], b[:]) })
	writer, err := m.storage.PackfileWriter()
	if err != nil {
		return &source.StoreFailure{Err: err}
	}
	made, err := packfile.NewEncoder(writer, m.storage, false).Encode(slices.Compact(objects), deltaWindow)
	if err = errors.Join(err, writer.Close()); err != nil {
		return &damageError{fmt.Errorf("repack: %w", err)}
	}
	for _, pack := range small {
		if pack == made {
			continue
		}
		if err := m.storage.DeleteOldObjectPackAndIndex(pack, time.Time{}); err != nil {
			return &source.StoreFailure{Err: err}
		}
	}
	return nil
}

// deltaWindow is Git's own.
const deltaWindow = 10

func (m *mirror) smallPacks() ([]plumbing.Hash, error) {
	files, err := os.ReadDir(m.packDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &source.StoreFailure{Err: err}
	}
	var small []plumbing.Hash
	for _, file := range files {
		name, is := strings.CutSuffix(strings.TrimPrefix(file.Name(), "pack-"), ".pack")
		info, err := file.Info()
		if is && err == nil && plumbing.IsHash(name) && info.Size() <= smallPack {
			small = append(small, plumbing.NewHash(name))
		}
	}
	return small, nil
}

func (m *mirror) packDir() string { return filepath.Join(m.dir, "objects", "pack") }

func (m *mirror) objectsIn(pack plumbing.Hash) ([]plumbing.Hash, error) {
	file, err := os.Open(filepath.Join(m.packDir(), "pack-"+pack.String()+".idx"))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	index := idxfile.NewMemoryIndex()
	if err := idxfile.NewDecoder(file).Decode(index); err != nil {
		return nil, fmt.Errorf("index of pack %s: %w", pack, err)
	}
	entries, err := index.Entries()
	if err != nil {
		return nil, err
	}
	defer entries.Close()
	var objects []plumbing.Hash
	for {
		entry, err := entries.Next()
		if err != nil {
			return objects, nil // the end: an index in memory has no other error
		}
		objects = append(objects, entry.Hash)
	}
}
