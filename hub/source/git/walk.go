package git

import (
	"context"
	"fmt"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
)

// walker makes the Tree of a commit. What an earlier one knows of the directories that did not change is taken over.
type walker struct {
	ctx      context.Context // it lives as long as the call
	git      *Git
	upstream source.Upstream

	mirrors  map[string]*mirror    // that are open, by the path of the submodule; the source's own is at ""
	held     map[string]heldModule // mirrors of submodules, by name
	rules    *rules
	modules  int // submodules so far
	warnings []string
	included []artifact.File
	detail   fleet.ArtifactDetail
}

const (
	// maxSeen bounds the entries that are walked, ignored ones included: a tree may hold the same tree again and again.
	maxSeen = 1_000_000
	// maxWarnings bounds the list of what was dropped.
	maxWarnings = 100
)

// tree is the Tree of a commit that the mirror has, and the root from which another one is made faster.
func (w *walker) tree(m *mirror, commit plumbing.Hash, old *dir) (*artifact.Tree, *dir, error) {
	found, err := object.GetCommit(m.storage, commit)
	if err != nil {
		return nil, nil, &damageError{fmt.Errorf("commit %s: %w", commit, err)}
	}
	at := module{walker: w, mirror: m, upstream: w.upstream, root: found.TreeHash, sparse: specOf(w.upstream).Directories()}
	root, err := at.walk(found.TreeHash, ".", old)
	if err != nil {
		return nil, nil, err
	}
	if err := w.checkSparse(root, at.sparse); err != nil {
		return nil, nil, err
	}
	if err := w.include(root); err != nil {
		return nil, nil, err
	}
	if err := w.filter(root, old); err != nil {
		return nil, nil, err
	}
	tree, err := w.store(root, old)
	if err != nil {
		return nil, nil, err
	}
	w.warn(root)
	tree.Warnings = w.warnings
	return tree, root, nil
}

// module is a repository that is walked: the source's own, or a submodule.
type module struct {
	*walker
	mirror   *mirror
	upstream source.Upstream
	root     plumbing.Hash
	at       string // where in the Tree it is; empty: it is the source's own
	depth    int    // of submodules
	sparse   []string
	urls     map[string]string // of its submodules, by path; nil: not read yet
}

// walk reads a directory of the Tree and those in it. What is as it was in the old one at that place is taken from there.
func (m *module) walk(hash plumbing.Hash, path string, old *dir) (*dir, error) {
	if err := m.ctx.Err(); err != nil {
		return nil, err
	}
	if old != nil && old.hash == hash && old.whole {
		return old, nil
	}
	if strings.Count(path, "/") >= artifact.MaxDepth {
		return nil, m.walker.upstream.Fail(source.KindContent, "%q is more than %d directories deep", source.Shown(path), artifact.MaxDepth)
	}
	tree, err := object.GetTree(m.mirror.storage, hash)
	if err != nil {
		return nil, &damageError{fmt.Errorf("tree %s of %q: %w", hash, source.Shown(path), err)}
	}
	find := finder{d: old}
	d := &dir{hash: hash, path: path, module: m.at, entries: make([]entry, 0, len(tree.Entries)), whole: true, seen: len(tree.Entries)}
	for _, e := range tree.Entries {
		if problem := nameProblem(e.Name); problem != "" {
			return nil, m.walker.upstream.Fail(source.KindContent, "%q in %q %s: no Git makes that", source.Shown(e.Name), source.Shown(path), problem)
		}
		next := entry{name: e.Name, hash: e.Hash, mode: e.Mode}
		before := find.entry(e.Name)
		inside := join(path, e.Name)
		wanted, part := m.wants(inside)
		switch {
		case e.Mode == filemode.Dir && (wanted || part):
			next.sub, err = m.walk(e.Hash, inside, before.sub)
		case !wanted:
			d.whole = false
			continue
		case e.Mode == filemode.Submodule && specOf(m.walker.upstream).RecurseSubmodules:
			next.sub, err = m.enter(e.Hash, inside, before.sub)
		case before.hash == e.Hash && before.mode == e.Mode:
			next = before
		}
		if err != nil {
			return nil, err
		}
		if next.sub != nil {
			d.ignores = d.ignores || next.sub.ignores
			d.seen += next.sub.seen
			d.whole = d.whole && next.sub.whole
		}
		if e.Name == artifact.IgnoreFile && isFile(e.Mode) {
			d.ignores = true
		}
		if d.seen > maxSeen {
			return nil, m.walker.upstream.Fail(source.KindLimit, "it has more than %d entries, ignored ones included", maxSeen)
		}
		d.entries = append(d.entries, next)
	}
	return d, nil
}

// wants reports whether a path is below a directory of the sparse checkout, or that it leads to one.
func (m *module) wants(path string) (wanted, part bool) {
	if len(m.sparse) == 0 || m.at != "" {
		return true, false
	}
	for _, dir := range m.sparse {
		if dir == "." || dir == path || strings.HasPrefix(path, dir+"/") {
			return true, false
		}
		part = part || strings.HasPrefix(dir, path+"/")
	}
	return false, part
}

// close lets go what was opened on the way.
func (w *walker) close() {
	for _, held := range w.held {
		held.mirror.close()
		held.state.unlock()
	}
}

// checkSparse refuses a sparse checkout of what is not there, as Flux does.
func (w *walker) checkSparse(root *dir, directories []string) error {
	for _, path := range directories {
		at := root
		for name := range strings.SplitSeq(path, "/") {
			if name != "." && at != nil {
				at = at.entry(name).sub
			}
		}
		if at == nil {
			return w.upstream.Fail(source.KindContent, "the repository has no directory %q; check spec.sparseCheckout", source.Shown(path))
		}
	}
	return nil
}

func isFile(mode filemode.FileMode) bool {
	return mode == filemode.Regular || mode == filemode.Deprecated || mode == filemode.Executable
}

func join(dir, name string) string {
	if dir == "." {
		return name
	}
	return dir + "/" + name
}

// warn notes what no Tree holds.
func (w *walker) warn(d *dir) {
	for _, e := range d.entries {
		switch {
		case len(w.warnings) >= maxWarnings:
			return
		case e.sub != nil:
			w.warn(e.sub)
		case isFile(e.mode):
		case e.mode == filemode.Symlink:
			w.warnings = append(w.warnings, "symbolic link "+source.Shown(join(d.path, e.name)))
		case e.mode == filemode.Submodule:
			w.warnings = append(w.warnings, "submodule "+source.Shown(join(d.path, e.name)))
		default:
			w.warnings = append(w.warnings, fmt.Sprintf("%s, of unknown mode %s", source.Shown(join(d.path, e.name)), e.mode))
		}
	}
}
