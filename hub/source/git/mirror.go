package git

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"flotilla.dev/flotilla/hub/source"
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
	// maxSteps bounds how far back they reach: a force push that took away more costs a larger transfer.
	maxSteps = 1 << 10
	// maxPacks is how many packs, the large ones among them, a mirror may have before it is fetched anew.
	maxPacks = 400
)

// damageError says that a mirror does not hold what it should.
type damageError struct{ err error }

func (e *damageError) Error() string { return e.err.Error() }

func mirrorName(remote string) string {
	digest := fleet.DigestOf([]byte(remote))
	return hex.EncodeToString(digest[:])
}

// stateName is the name of an upstream's mirror: that of its Remote, with more behind where the same Secrets do not open
// the same: by the hub's identity or another provider, and for a submodule.
func stateName(u source.Upstream) string {
	remote, module, _ := strings.Cut(u.Remote, submoduleMark)
	name := mirrorName(remote)
	provider := specOf(u).Provider
	if provider == "generic" {
		provider = ""
	}
	if module == "" && provider == "" && !u.Identity {
		return name
	}
	if module != "" {
		name += moduleInName
	}
	return name + "-" + mirrorName(fmt.Sprintf("%q %q %t", module, provider, u.Identity))[:16]
}

// moduleInName is what tells the name of a submodule's mirror from others.
const moduleInName = "-sub"

func isModule(name string) bool { return strings.Contains(name, moduleInName) }

var mirrorNames = regexp.MustCompile(`^([0-9a-f]{64})(?:(?:-sub)?-[0-9a-f]{16})?$`)

// remoteIn is the mirrorName of the Remote whose mirror, or whose submodule's, has that name; empty: no mirror has it.
func remoteIn(name string) string {
	parts := mirrorNames.FindStringSubmatch(name)
	if parts == nil {
		return ""
	}
	return parts[1]
}

// openMirror opens a mirror, made when there is none, and made anew when it has grown too large.
func (g *Git) openMirror(name string) (*mirror, error) {
	dir := filepath.Join(g.config.Dir, name)
	size, packs := measure(dir)
	if size > g.config.Limits.Mirror || packs > maxPacks {
		if err := g.removeMirror(name); err != nil {
			return nil, &source.StoreFailure{Err: err}
		}
		size, packs = 0, 0
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, &source.StoreFailure{Err: err}
	}
	g.noteMirror(name, size)
	m, err := openStorage(dir)
	if err != nil {
		return nil, err
	}
	if packs <= maxSmallPacks {
		return m, nil
	}
	err = m.repack()
	m.close()
	if err != nil {
		return nil, err
	}
	return openStorage(dir)
}

func openStorage(dir string) (*mirror, error) {
	storage := filesystem.NewStorageWithOptions(osfs.New(dir, osfs.WithBoundOS()), cache.NewObjectLRU(16*cache.MiByte),
		filesystem.Options{KeepDescriptors: true})
	if err := storage.Init(); err != nil {
		return nil, &source.StoreFailure{Err: err}
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

func (g *Git) removeMirror(name string) error {
	g.mu.Lock()
	delete(g.mirrors, name)
	g.mu.Unlock()
	return os.RemoveAll(filepath.Join(g.config.Dir, name))
}

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
func (m *mirror) mark(u source.Upstream, commit plumbing.Hash) error {
	if err := m.storage.HasEncodedObject(commit); err != nil {
		return gone(u)
	}
	if err := m.storage.SetReference(plumbing.NewHashReference(tip(commit), commit)); err != nil {
		return &source.StoreFailure{Err: err}
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
	for i := 1; commit.NumParents() > 0 && len(out) < maxHaves && i < maxSteps; i++ {
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
