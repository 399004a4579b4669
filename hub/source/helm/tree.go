package helm

import (
	"context"
	"fmt"
	"path"
	"strings"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/flux"
)

// fromTree picks the chart from the files of a GitRepository or Bucket.
func (c *chart) fromTree(ctx context.Context) (*picked, error) {
	tree, err := c.inputTree(ctx)
	if err != nil {
		return nil, err
	}
	at := clean(c.spec.Chart)
	mark := ""
	if c.spec.ReconcileStrategy == flux.ByRevision {
		mark = revisionMark(string(c.input.Revision))
	}
	if file, found := tree.Lookup(at); found {
		return c.fromArchive(ctx, tree, file, mark)
	}
	dir, err := c.directory(tree, at)
	if err != nil {
		return nil, err
	}
	metadata, err := dir.metadata(ctx)
	if err != nil {
		return nil, err
	}
	version, err := c.marked(metadata.Version, mark)
	if err != nil {
		return nil, err
	}
	return &picked{version: version, build: func(ctx, limited context.Context) (*built, error) {
		return c.packDirectory(ctx, limited, tree, dir, version)
	}}, nil
}

// fromArchive picks a chart that is packaged in the tree.
func (c *chart) fromArchive(ctx context.Context, tree *artifact.Tree, file artifact.File, mark string) (*picked, error) {
	if file.Size > c.config.Limits.Chart {
		return nil, tooLarge("%s has %d bytes; a chart may have %d", source.Shown(file.Path), file.Size, c.config.Limits.Chart)
	}
	data, err := c.blob(ctx, file.Digest)
	if err != nil {
		return nil, err
	}
	found, err := (&inspection{limits: c.config.Limits}).archive(ctx, data, 0, nil)
	if err != nil {
		return nil, inside(source.Shown(file.Path), err)
	}
	version, err := c.marked(found.Version, mark)
	if err != nil {
		return nil, err
	}
	return &picked{version: version, build: func(_, limited context.Context) (*built, error) {
		made, err := c.repack(limited, data, version, mark != "", func(name string) ([]byte, error) { return c.sourceFile(limited, tree, name) })
		if err != nil {
			return nil, inside(source.Shown(file.Path), err)
		}
		return made, nil
	}}, nil
}

// revisionMark is the beginning of the hash in a revision such as main@sha1:6f...
func revisionMark(revision string) string {
	hash := revision[strings.LastIndexAny(revision, ":@/")+1:]
	return hash[:min(len(hash), markLength)]
}

// sourceFile reads a values file of the source; nil: there is none.
func (c *chart) sourceFile(ctx context.Context, tree *artifact.Tree, name string) ([]byte, error) {
	file, found := tree.Lookup(clean(name))
	switch {
	case !found:
		return nil, nil
	case file.Size > maxDocument:
		return nil, tooLarge("%s has %d bytes; a YAML document may have %d", source.Shown(name), file.Size, maxDocument)
	}
	data, err := c.blob(ctx, file.Digest)
	if err == nil && data == nil {
		data = []byte{}
	}
	return data, err
}

// directory is a chart that is not packaged.
type directory struct {
	helm *Helm
	// at is where in the tree it is; files are those of it, by their paths in it.
	at    string
	files *artifact.Tree
}

func (c *chart) directory(tree *artifact.Tree, at string) (*directory, error) {
	if at == ".." || strings.HasPrefix(at, "../") {
		return nil, wrong("%q leaves the source", source.Shown(at))
	}
	files, found := tree.Sub(at)
	if !found {
		return nil, &problem{source.KindContent, fmt.Sprintf("%s %s has nothing at %q; correct spec.chart, or look whether it is ignored", c.input.Kind, c.input.Name, source.Shown(at))}
	}
	return &directory{helm: c.Helm, at: at, files: files}, nil
}

// read gets a file; nil: it is not there.
func (d *directory) read(ctx context.Context, name string) ([]byte, error) {
	file, found := d.files.Lookup(name)
	switch {
	case !found:
		return nil, nil
	case file.Size > d.helm.config.Limits.File:
		return nil, tooLarge("%s has %d bytes; a file of a chart may have %d; name it in .helmignore if it is not needed", source.Shown(path.Join(d.at, name)), file.Size, d.helm.config.Limits.File)
	}
	data, err := d.helm.blob(ctx, file.Digest)
	if err == nil && data == nil {
		data = []byte{}
	}
	return data, err
}

// metadata is what the chart is.
func (d *directory) metadata(ctx context.Context) (*metadata, error) {
	texts := map[string][]byte{}
	for _, name := range []string{"Chart.yaml", "requirements.yaml"} {
		data, err := d.read(ctx, name)
		if err != nil {
			return nil, err
		}
		texts[name] = trimmed(data)
	}
	if texts["Chart.yaml"] == nil {
		return nil, wrong("%s has no Chart.yaml, so it is no chart", source.Shown(d.at))
	}
	return readMetadata(source.Shown(d.at), texts["Chart.yaml"], texts["requirements.yaml"])
}

// look chooses the files that the chart has, as helm does by .helmignore, and looks through the charts in it, which it
// returns by name.
func (d *directory) look(ctx context.Context, i *inspection) ([]artifact.File, map[string]bool, error) {
	files, err := d.kept(ctx)
	if err != nil {
		return nil, nil, err
	}
	kept := map[string][]byte{}
	var within subcharts
	for _, file := range files {
		i.bytes += file.Size
		if i.files++; i.files > i.limits.Files || i.bytes > i.limits.Unpacked {
			return nil, nil, tooLarge("the chart %s has more than %d files or %d MiB; name what is not needed in .helmignore", source.Shown(d.at), i.limits.Files, i.limits.Unpacked>>20)
		}
		if file.Size > i.limits.File {
			_, err = d.read(ctx, file.Path)
			return nil, nil, err
		}
		if err := d.lookAt(ctx, i, file, kept, &within); err != nil {
			return nil, nil, inside(source.Shown(d.at), err)
		}
	}
	if _, err := within.check(kept); err != nil {
		return nil, nil, inside(source.Shown(d.at), err)
	}
	return files, within.names, nil
}

func (d *directory) lookAt(ctx context.Context, i *inspection, file artifact.File, kept map[string][]byte, within *subcharts) error {
	if !innerArchive(file.Path) && !isMetadata(file.Path) {
		return within.saw(file.Path)
	}
	data, err := d.read(ctx, file.Path)
	if err != nil {
		return err
	}
	if !innerArchive(file.Path) {
		kept[file.Path] = trimmed(data)
		return within.saw(file.Path)
	}
	found, err := i.archive(ctx, data, 1, nil)
	if err != nil {
		return inside(source.Shown(file.Path), err)
	}
	return within.add(file.Path, found.metadata)
}

// packDirectory makes a package of a directory and of the dependencies that it lacks.
func (c *chart) packDirectory(ctx, limited context.Context, tree *artifact.Tree, dir *directory, version string) (*built, error) {
	look := &inspection{limits: c.config.Limits}
	files, present, err := dir.look(limited, look)
	if err != nil {
		return nil, err
	}
	metadata, err := dir.metadata(limited)
	if err != nil {
		return nil, err
	}
	own, err := dir.read(limited, "values.yaml")
	if err != nil {
		return nil, err
	}
	values, err := mergeValues(c.spec, own, func(name string) ([]byte, error) { return c.sourceFile(limited, tree, name) })
	if err != nil {
		return nil, err
	}
	added, err := (&dependencies{chart: c, tree: tree, dir: dir, look: look}).resolve(ctx, limited, metadata, present)
	if err != nil {
		return nil, err
	}
	out := newPacker(metadata.Name, c.config.Limits.Package)
	for _, file := range files {
		data, err := dir.read(limited, file.Path)
		switch {
		case err != nil:
		case file.Path == "Chart.yaml" && version != metadata.Version:
			data, err = withVersion(trimmed(data), version)
		case file.Path == "values.yaml" && values.changed:
			data = values.text
		}
		if err != nil {
			return nil, err
		}
		if err := out.add(file.Path, data); err != nil {
			return nil, err
		}
	}
	for _, more := range added {
		if err := more(limited, out); err != nil {
			return nil, err
		}
	}
	packed, err := out.done()
	return &built{name: metadata.Name, data: packed, values: values.used, made: true}, err
}
