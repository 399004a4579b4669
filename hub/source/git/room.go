package git

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"flotilla.dev/flotilla/hub/source"
)

// stored is a mirror as it was last seen on disk.
type stored struct {
	size int64
	used time.Time
}

// moduleTime is how long a submodule's mirror is kept that nobody uses: its name is that of the source's, and is not
// declared anywhere.
const moduleTime = 24 * time.Hour

// noteMirror remembers how large a mirror is that is used now. The disk remembers when that was.
func (g *Git) noteMirror(name string, size int64) {
	now := time.Now()
	_ = os.Chtimes(filepath.Join(g.config.Dir, name), now, now) // one that seems older goes earlier, and is fetched anew
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mirrors[name] = stored{size, now}
}

// survey sees to what an earlier hub left behind.
func (g *Git) survey(name string) {
	g.mu.Lock()
	_, known := g.mirrors[name]
	g.mu.Unlock()
	dir := filepath.Join(g.config.Dir, name)
	info, err := os.Stat(dir)
	if known || err != nil {
		return
	}
	size, _ := measure(dir)
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, known := g.mirrors[name]; !known {
		g.mirrors[name] = stored{size, info.ModTime()}
	}
}

// unused reports whether a mirror is a submodule's that nobody has used for long.
func (g *Git) unused(name string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	mirror, known := g.mirrors[name]
	return isModule(name) && (!known || time.Since(mirror.used) > moduleTime)
}

// makeRoom removes mirrors, those first that were not used for longest, until all together have room. Those in use stay.
func (g *Git) makeRoom() {
	mirrors, over := g.byUse()
	for _, name := range slices.SortedFunc(maps.Keys(mirrors), func(a, b string) int { return mirrors[a].used.Compare(mirrors[b].used) }) {
		if over <= 0 {
			return
		}
		state := g.upstream(name)
		select {
		case state.busy <- struct{}{}:
		default:
			continue
		}
		if g.upstream(name) == state { // else somebody has just removed it
			err := g.remove(name, state)
			g.config.Log.Info("a mirror is removed: all together have more than they may", "mirror", name, "bytes", mirrors[name].size, "err", err)
		}
		state.unlock()
		over -= mirrors[name].size
	}
}

// byUse are the mirrors, and by how much they are too large together.
func (g *Git) byUse() (mirrors map[string]stored, over int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	over = -g.config.Limits.Mirrors
	for _, mirror := range g.mirrors {
		over += mirror.size
	}
	if over <= 0 {
		return nil, over
	}
	return maps.Clone(g.mirrors), over
}

// checkModules bounds the mirrors of a source's submodules together: they are in use, and there is no room to be made of
// them.
func (w *walker) checkModules() error {
	w.git.mu.Lock()
	defer w.git.mu.Unlock()
	total, limit := int64(0), w.git.config.Limits.Mirrors/4
	for name := range w.held {
		total += w.git.mirrors[name].size
	}
	if total > limit {
		return w.upstream.Fail(source.KindLimit, "its submodules have more than %d MiB together, history included; a source may have that much", limit>>20)
	}
	return nil
}
