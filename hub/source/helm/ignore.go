package helm

import (
	"bytes"
	"context"
	"io/fs"
	"path"
	"strings"
	"time"

	"helm.sh/helm/v4/pkg/ignore"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/artifact"
)

// Bounds of a .helmignore: every path is compared with every pattern.
const (
	maxIgnore      = 64 << 10
	maxComparisons = 20_000_000
)

// kept are the files of the directory that its .helmignore does not name.
func (d *directory) kept(ctx context.Context) ([]artifact.File, error) {
	rules := ignore.Empty()
	text, err := d.read(ctx, ignore.HelmIgnore)
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxIgnore, bytes.Count(text, []byte("\n"))*len(d.files.Files) > maxComparisons:
		return nil, tooLarge("%s has too many patterns for the %d files of the chart", source.Shown(path.Join(d.at, ignore.HelmIgnore)), len(d.files.Files))
	case text != nil:
		if rules, err = ignore.Parse(bytes.NewReader(text)); err != nil {
			return nil, wrong("%s: %s", source.Shown(path.Join(d.at, ignore.HelmIgnore)), source.Shown(err.Error()))
		}
	}
	rules.AddDefaults()
	var kept []artifact.File
	directories := map[string]bool{} // whether it is ignored
	for i, file := range d.files.Files {
		if i%256 == 0 && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if !ignored(rules, directories, path.Dir(file.Path)) && !rules.Ignore(file.Path, info{path.Base(file.Path), false}) && !skipped(file.Path) {
			kept = append(kept, file)
		}
	}
	return kept, nil
}

// skipped reports whether helm does not take the file into a package: it is of what is named _x or .x in charts/.
func skipped(name string) bool {
	_, rest := chartOf(name)
	sub, found := strings.CutPrefix(rest, "charts/")
	return found && notAChart(sub)
}

// ignored reports whether a directory is ignored, or one that it is in.
func ignored(rules *ignore.Rules, known map[string]bool, dir string) bool {
	if dir == "." {
		return false
	}
	is, found := known[dir]
	if !found {
		is = ignored(rules, known, path.Dir(dir)) || rules.Ignore(dir, info{path.Base(dir), true})
		known[dir] = is
	}
	return is
}

// info says of a path only whether it is a directory, which is all that the rules ask.
type info struct {
	name string
	dir  bool
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return 0 }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return i.dir }
func (i info) Sys() any           { return nil }
func (i info) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir
	}
	return 0
}
