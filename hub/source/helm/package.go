package helm

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
)

// inTree is what the chart of a whole Tree is called in errors.
const inTree = "the chart"

// Package is the packaged chart that a Tree holds: a package is taken as it is, and a directory, the Tree's root or the one
// in it with a Chart.yaml, is packaged. Its bytes follow from the Tree's files. What is wrong with the chart wraps
// fleet.ErrInvalid; what could not be read is a source.StoreFailure.
func (h *Helm) Package(ctx context.Context, tree *artifact.Tree) (chart source.Chart, err error) {
	defer source.Recovered(&err)
	chart, err = h.packageTree(ctx, tree)
	var found *problem
	if errors.As(err, &found) {
		text := found.text
		if !strings.HasPrefix(text, inTree) {
			text = inTree + ": " + text
		}
		return chart, fmt.Errorf("%w: %s", fleet.ErrInvalid, text)
	}
	return chart, err
}

func (h *Helm) packageTree(ctx context.Context, tree *artifact.Tree) (source.Chart, error) {
	at, err := chartIn(tree)
	if err != nil {
		return source.Chart{}, err
	}
	file, packaged := tree.Lookup(at)
	if !packaged {
		return h.packageDirectory(ctx, tree, at)
	}
	if file.Size > h.config.Limits.Package {
		return source.Chart{}, tooLarge("%s has %d bytes; a chart may have %d", source.Shown(at), file.Size, h.config.Limits.Package)
	}
	data, err := h.blob(ctx, file.Digest)
	if err != nil {
		return source.Chart{}, err
	}
	found, err := (&inspection{limits: h.config.Limits}).archive(ctx, data, 0, nil)
	if err != nil {
		return source.Chart{}, err
	}
	return source.Chart{Name: found.Name, Version: found.Version, Archive: data}, nil
}

// chartIn is where in a Tree its one chart is: a directory, "." being its root, or a package.
func chartIn(tree *artifact.Tree) (string, error) {
	if _, is := tree.Lookup("Chart.yaml"); is {
		return ".", nil
	}
	var charts []string
	for _, file := range tree.Files {
		switch dir, name := path.Split(file.Path); {
		case dir == "" && path.Ext(name) == ".tgz":
			charts = append(charts, name)
		case name == "Chart.yaml" && strings.Count(dir, "/") == 1:
			charts = append(charts, path.Clean(dir))
		}
	}
	slices.Sort(charts)
	switch len(charts) {
	case 0:
		return "", wrong("there is none: no Chart.yaml, in no directory, and no .tgz; what has charts deeper inside is for a HelmChart, whose spec.chart says where")
	case 1:
		return charts[0], nil
	}
	return "", wrong("there is more than one: %s and %s; leave one of them, or let a HelmChart say which", source.Shown(charts[0]), source.Shown(charts[1]))
}

// packageDirectory packages a chart that has all that it needs.
func (h *Helm) packageDirectory(ctx context.Context, tree *artifact.Tree, at string) (source.Chart, error) {
	files, _ := tree.Sub(at)
	dir := &directory{helm: h, at: inTree, files: files}
	kept, present, err := dir.look(ctx, &inspection{limits: h.config.Limits})
	if err != nil {
		return source.Chart{}, err
	}
	metadata, err := dir.metadata(ctx)
	if err != nil {
		return source.Chart{}, err
	}
	for _, needed := range metadata.Dependencies {
		if !present[needed.Name] {
			return source.Chart{}, wrong("it needs %s, which is not in charts/: put it there (helm dependency build), or let a HelmChart fetch it", source.Shown(needed.Name))
		}
	}
	out := newPacker(metadata.Name, h.config.Limits.Package)
	for _, file := range kept {
		data, err := dir.read(ctx, file.Path)
		if err != nil {
			return source.Chart{}, err
		}
		if err := out.add(file.Path, data); err != nil {
			return source.Chart{}, err
		}
	}
	packed, err := out.done()
	return source.Chart{Name: metadata.Name, Version: metadata.Version, Archive: packed}, err
}
