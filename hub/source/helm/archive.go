package helm

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/artifact"
)

// packaged is a chart in an archive that was looked through.
type packaged struct {
	*metadata
	// kept are the contents of the files that were asked for.
	kept map[string][]byte
}

// inspection looks through a chart and the charts in it. What they have counts together.
type inspection struct {
	limits Limits
	bytes  int64
	files  int
}

// maxNesting is how deep charts may be in charts.
const maxNesting = 8

// archive looks through a packaged chart and the charts in it, so that it may be given to others: they all are within the
// bounds, and are charts. keep says which files' contents are wanted beside.
func (i *inspection) archive(ctx context.Context, data []byte, nesting int, keep func(name string) bool) (*packaged, error) {
	if nesting > maxNesting {
		return nil, tooLarge("more than %d charts are in one another", maxNesting)
	}
	p := &packaged{kept: map[string][]byte{}}
	var subcharts subcharts
	err := i.walk(ctx, data, func(name string, size int64, content io.Reader) error {
		inner := innerArchive(name)
		if !inner && !isMetadata(name) && (keep == nil || !keep(name)) {
			return subcharts.saw(name)
		}
		data, err := readFile(content, size)
		if err != nil {
			return err
		}
		if inner {
			found, err := i.archive(ctx, data, nesting+1+strings.Count(name, "/charts/"), nil)
			if err != nil {
				return inside(source.Shown(name), err)
			}
			return subcharts.add(name, found.metadata)
		}
		p.kept[name] = data
		return subcharts.saw(name)
	})
	if err != nil {
		return nil, err
	}
	if p.metadata, err = subcharts.check(p.kept); err != nil {
		return nil, err
	}
	return p, nil
}

// walk gives the files of a packaged chart, by their paths in the chart: the archive has it in a directory.
func (i *inspection) walk(ctx context.Context, data []byte, take func(name string, size int64, content io.Reader) error) error {
	limits := artifact.ExtractLimits{
		Compressed: i.limits.Package, Unpacked: max(i.limits.Unpacked-i.bytes, 1), File: i.limits.Chart, Entries: max(i.limits.Files-i.files, 1),
	}
	seen := map[string]bool{}
	_, err := artifact.Extract(ctx, bytes.NewReader(data), limits, func(file artifact.Extracted) error {
		i.bytes += file.Size
		i.files++
		_, name, found := strings.Cut(file.Path, "/")
		switch {
		case !found:
			return wrong("archive entry %q: it is not in the chart's directory", source.Shown(file.Path))
		case seen[name]:
			return wrong("archive entry %q: the chart has it twice", source.Shown(file.Path))
		}
		seen[name] = true
		return take(name, file.Size, file.Content)
	})
	return ofArchive(err)
}

// readFile reads a file whose size is within the limits; it is only a claim until the bytes are there.
func readFile(content io.Reader, size int64) ([]byte, error) {
	buffer := bytes.NewBuffer(make([]byte, 0, min(size, 64<<10)+bytes.MinRead))
	if _, err := buffer.ReadFrom(content); err != nil {
		return nil, err
	}
	return trimmed(buffer.Bytes()), nil
}

// subcharts are the charts in a chart: each a packaged one, or a directory with a Chart.yaml.
type subcharts struct {
	names map[string]bool // of those in archives
	dirs  map[string]bool // in charts/, and below
}

// chartOf splits a path into the directory of the innermost chart that it is of and what it is there: "charts/redis" and
// "Chart.yaml". What begins with _ or . in charts/ is none, as in helm.
func chartOf(name string) (dir, rest string) {
	rest = name
	for {
		after, found := strings.CutPrefix(rest, "charts/")
		sub, inner, isDir := strings.Cut(after, "/")
		if !found || !isDir || notAChart(sub) {
			return dir, rest
		}
		dir, rest = path.Join(dir, "charts", sub), inner
	}
}

// notAChart reports whether helm passes over what has the name in charts/.
func notAChart(name string) bool { return strings.HasPrefix(name, "_") || strings.HasPrefix(name, ".") }

// innerArchive reports whether the file is a packaged chart in one.
func innerArchive(name string) bool {
	_, rest := chartOf(name)
	file, found := strings.CutPrefix(rest, "charts/")
	return found && path.Ext(file) == ".tgz" && !strings.Contains(file, "/") && !notAChart(file)
}

// isMetadata reports whether the file says what the chart is, or one of those in it.
func isMetadata(name string) bool {
	_, rest := chartOf(name)
	return rest == "Chart.yaml" || rest == "requirements.yaml"
}

// saw notes a file. What stands in charts/ and is no chart makes helm refuse the whole.
func (s *subcharts) saw(name string) error {
	dir, rest := chartOf(name)
	if s.dirs == nil {
		s.dirs = map[string]bool{}
	}
	if dir != "" && !s.dirs[dir] {
		if strings.Count(dir, "/")/2 >= maxNesting {
			return tooLarge("%s: more than %d charts are in one another", source.Shown(dir), maxNesting)
		}
		s.dirs[dir] = true
	}
	if file, found := strings.CutPrefix(rest, "charts/"); found && !notAChart(file) && path.Ext(file) != ".prov" && !innerArchive(name) {
		return wrong("%s is in charts/ and is no chart, which helm does not take; remove it, or name it in .helmignore", source.Shown(name))
	}
	return nil
}

// add notes a packaged chart.
func (s *subcharts) add(name string, m *metadata) error {
	if err := s.saw(name); err != nil {
		return err
	}
	if dir, _ := chartOf(name); dir == "" {
		s.has(m.Name)
	}
	return nil
}

func (s *subcharts) has(name string) {
	if s.names == nil {
		s.names = map[string]bool{}
	}
	s.names[name] = true
}

// check reads what all the charts are, and returns what the outer one is.
func (s *subcharts) check(kept map[string][]byte) (*metadata, error) {
	if kept["Chart.yaml"] == nil {
		return nil, wrong("it has no Chart.yaml, so it is no chart")
	}
	top, err := readMetadata("", kept["Chart.yaml"], kept["requirements.yaml"])
	if err != nil {
		return nil, err
	}
	for _, dir := range slices.Sorted(maps.Keys(s.dirs)) {
		file := kept[path.Join(dir, "Chart.yaml")]
		if file == nil {
			return nil, wrong("%s is in charts/ and has no Chart.yaml, which helm does not take", source.Shown(dir))
		}
		m, err := readMetadata(source.Shown(dir), file, kept[path.Join(dir, "requirements.yaml")])
		if err != nil {
			return nil, err
		}
		if path.Dir(dir) == "charts" {
			s.has(m.Name)
		}
	}
	return top, nil
}

// fileName is what a package is called.
func fileName(name, version string) string { return fmt.Sprintf("%s-%s.tgz", name, version) }
