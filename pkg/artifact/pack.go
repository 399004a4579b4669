package artifact

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Packed is a file that goes into an archive.
type Packed struct {
	Path string
	Mode FileMode
	Size int64
	// Open gives the content, which must have Size bytes.
	Open func() (io.ReadCloser, error)
}

// The modes in an archive, as Flux writes them.
const (
	packedRegular    = 0o600
	packedExecutable = 0o700
	packedDirectory  = 0o750
)

// Pack writes files as a gzip-compressed tar, as Flux archives a source: in lexical order, directories before what is in
// them, with no owner, no times and a mode that says executable or not. Its bytes depend on the files alone, not on their
// order; and on this program's version, whose compression it is.
func Pack(w io.Writer, files []Packed) error {
	files = slices.Clone(files)
	slices.SortFunc(files, func(a, b Packed) int { return compareWalk(a.Path, b.Path) })
	compressed := gzip.NewWriter(w)
	archive := tar.NewWriter(compressed)
	made := map[string]bool{}
	for _, file := range files {
		if err := CheckPath(file.Path); err != nil {
			return err
		}
		if made[file.Path] {
			return invalid(file.Path, "it is there twice")
		}
		if err := packDirectories(archive, file.Path, made); err != nil {
			return err
		}
		if err := packFile(archive, file); err != nil {
			return err
		}
		made[file.Path] = true
	}
	if err := errors.Join(archive.Close(), compressed.Close()); err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	return nil
}

// packDirectories writes the directories that a file is in, unless they are there.
func packDirectories(archive *tar.Writer, path string, made map[string]bool) error {
	for i, r := range path {
		if r != '/' || made[path[:i+1]] {
			continue
		}
		if made[path[:i+1]] = true; made[path[:i]] {
			return invalid(path[:i], "it is a file and a directory")
		}
		header := &tar.Header{Typeflag: tar.TypeDir, Name: path[:i+1], Mode: packedDirectory}
		if err := archive.WriteHeader(header); err != nil {
			return fmt.Errorf("pack %q: %w", cut(path[:i]), err)
		}
	}
	return nil
}

func packFile(archive *tar.Writer, file Packed) error {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: file.Path, Mode: packedRegular, Size: file.Size}
	if file.Mode == Executable {
		header.Mode = packedExecutable
	}
	if err := archive.WriteHeader(header); err != nil {
		return fmt.Errorf("pack %q: %w", cut(file.Path), err)
	}
	content, err := file.Open()
	if err != nil {
		return fmt.Errorf("pack %q: %w", cut(file.Path), err)
	}
	n, err := io.Copy(archive, content)
	if err = errors.Join(err, content.Close()); errors.Is(err, tar.ErrWriteTooLong) || err == nil && n != file.Size {
		return fmt.Errorf("pack %q: %w: it changed while it was read", cut(file.Path), fleet.ErrConflict)
	}
	if err != nil {
		return fmt.Errorf("pack %q: %w", cut(file.Path), err)
	}
	return nil
}

// compareWalk orders paths as a walk of directories meets them: what is in "a" goes before "a-b".
func compareWalk(a, b string) int {
	for a != "" && b != "" {
		first, restA, _ := strings.Cut(a, "/")
		second, restB, _ := strings.Cut(b, "/")
		if first != second {
			return strings.Compare(first, second)
		}
		a, b = restA, restB
	}
	return strings.Compare(a, b)
}
