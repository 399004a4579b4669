package source

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"flotilla.dev/flotilla/pkg/fleet"
)

// mirror is a bare repository on disk: a cache of what an upstream has. The commits that it has with all that belongs to
// them have a ref below tips; an interrupted fetch leaves none.
type mirror struct {
	dir     string
	storage *filesystem.Storage
}

const (
	tips = "refs/flotilla/"
	// maxTips is how many fetched commits are remembered: what a fetch says it has.
	maxTips = 16
	// maxHaves bounds what a fetch says it has, which is more than the tips: a force push may have taken those away.
	maxHaves = 128
	// maxPacks is how many packs a mirror may have before it is fetched anew: each fetch adds one, and each costs time.
	maxPacks = 200
)

// damageError says that a mirror does not hold what it should.
type damageError struct{ err error }

func (e *damageError) Error() string { return e.err.Error() }

// diskError says that the disk of the mirrors does not do what it should.
type diskError struct{ err error }

func (e *diskError) Error() string { return e.err.Error() }
func (e *diskError) Unwrap() error { return e.err }

func mirrorName(id string) string {
	digest := fleet.DigestOf([]byte(id))
	return hex.EncodeToString(digest[:])
}

var mirrorNames = regexp.MustCompile(`^[0-9a-f]{64}$`)

func isMirrorName(name string) bool { return mirrorNames.MatchString(name) }

// openMirror opens the mirror of an upstream, made when there is none, and made anew when it has grown too large.
func (g *Git) openMirror(id string) (*mirror, error) {
	dir := filepath.Join(g.config.Dir, mirrorName(id))
	if size, packs := measure(dir); size > g.config.Limits.Mirror || packs > maxPacks {
		if err := g.dropMirror(id); err != nil {
			return nil, &diskError{err}
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, &diskError{err}
	}
	storage := filesystem.NewStorageWithOptions(osfs.New(dir, osfs.WithBoundOS()), cache.NewObjectLRU(16*cache.MiByte),
		filesystem.Options{KeepDescriptors: true})
	if err := storage.Init(); err != nil {
		return nil, &diskError{err}
	}
	return &mirror{dir: dir, storage: storage}, nil
}

// measure says how large a mirror is, and how many packs it has. What an interrupted fetch left is removed.
func measure(dir string) (size int64, packs int) {
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil // what is not there has no size
		}
		name := entry.Name()
		if strings.HasPrefix(name, "received-") || strings.HasPrefix(name, "tmp_pack_") {
			return os.Remove(path)
		}
		if info, err := entry.Info(); err == nil {
			size += info.Size()
		}
		if strings.HasSuffix(name, ".pack") {
			packs++
		}
		return nil
	})
	return size, packs
}

func (g *Git) dropMirror(id string) error { return g.removeMirror(mirrorName(id)) }

func (g *Git) removeMirror(name string) error { return os.RemoveAll(filepath.Join(g.config.Dir, name)) }

func (m *mirror) close() { _ = m.storage.Close() }

func tip(commit plumbing.Hash) plumbing.ReferenceName {
	return plumbing.ReferenceName(tips + commit.String())
}

// has reports whether the commit was fetched with all that belongs to it.
func (m *mirror) has(commit plumbing.Hash) bool {
	_, err := m.storage.Reference(tip(commit))
	return err == nil
}

// mark records that the commit was fetched, and lets the oldest tips go.
func (m *mirror) mark(u Upstream, commit plumbing.Hash) error {
	if err := m.storage.HasEncodedObject(commit); err != nil {
		return u.gone()
	}
	if err := m.storage.SetReference(plumbing.NewHashReference(tip(commit), commit)); err != nil {
		return &diskError{err}
	}
	commits, err := m.tips()
	if err != nil {
		return err
	}
	for _, old := range commits[min(maxTips, len(commits)):] {
		if old.Hash != commit {
			_ = m.storage.RemoveReference(tip(old.Hash)) // a tip too many does no harm
		}
	}
	return nil
}

// tips are the fetched commits, the youngest first.
func (m *mirror) tips() ([]*object.Commit, error) {
	refs, err := m.storage.IterReferences()
	if err != nil {
		return nil, &damageError{err}
	}
	var commits []*object.Commit
	err = refs.ForEach(func(ref *plumbing.Reference) error {
		if !strings.HasPrefix(ref.Name().String(), tips) {
			return nil
		}
		commit, err := object.GetCommit(m.storage, ref.Hash())
		commits = append(commits, commit)
		return err
	})
	if err != nil {
		return nil, &damageError{fmt.Errorf("tips: %w", err)}
	}
	slices.SortFunc(commits, func(a, b *object.Commit) int {
		return cmp.Or(b.Committer.When.Compare(a.Committer.When), cmp.Compare(a.Hash.String(), b.Hash.String()))
	})
	return commits, nil
}

// haves are commits that the mirror has: the tips, and steps back from the youngest in growing strides.
func (m *mirror) haves() ([]plumbing.Hash, error) {
	commits, err := m.tips()
	if err != nil || len(commits) == 0 {
		return nil, err
	}
	var out []plumbing.Hash
	for _, commit := range commits {
		out = append(out, commit.Hash)
	}
	step, next := 1, 1
	commit := commits[0]
	for i := 1; commit.NumParents() > 0 && len(out) < maxHaves && i < 1<<14; i++ {
		if commit, err = commit.Parent(0); err != nil {
			return nil, &damageError{err}
		}
		if i == next {
			out = append(out, commit.Hash)
			if len(out) > maxHaves/2 {
				step *= 2
			}
			next += step
		}
	}
	return out, nil
}

// add puts a pack into the mirror.
func (m *mirror) add(pack io.Reader) error {
	err := packfile.WritePackfileToObjectStorage(m.storage, pack)
	var path *fs.PathError
	switch {
	case errors.As(err, &path):
		return &diskError{err}
	case err != nil:
		return &packError{err}
	}
	return nil
}
