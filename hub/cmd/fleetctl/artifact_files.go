package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/pkg/artifact"
)

// fileFlags say which local files become an artifact.
type fileFlags struct {
	path                    string
	ignorePaths, alsoIgnore []string
	resolveSymlinks         bool
	// sourceIgnore: the directory's own ignore files are heeded too, as the hub heeds those of what it fetches.
	sourceIgnore bool
}

// ignoredByDefault are the patterns of Flux's client. What version control keeps for itself is left out whatever is given.
var ignoredByDefault = []string{"*.jpg", "*.jpeg", "*.gif", "*.png", "*.wmv", "*.flv", "*.tar.gz", "*.zip"}

func (f *fileFlags) add(cmd *cobra.Command, shorthand string) {
	flags := cmd.Flags()
	flags.StringVarP(&f.path, "path", shorthand, "", "local directory or file, or - for stdin")
	flags.StringSliceVar(&f.ignorePaths, "ignore-paths", ignoredByDefault, "paths to leave out, as in .gitignore, comma-separated")
	flags.StringSliceVar(&f.alsoIgnore, "add-ignore-paths", nil, "paths to leave out besides those of --ignore-paths")
	flags.BoolVar(&f.resolveSymlinks, "resolve-symlinks", false, "take what symbolic links point to, in place of leaving them out")
}

// collect finds the files. What is neither file nor directory is left out with a warning.
func (a *app) collect(ctx context.Context, cmd *cobra.Command, f fileFlags) ([]artifact.Packed, error) {
	if f.path == "-" {
		data, err := readInput(ctx, func() ([]byte, error) { return io.ReadAll(a.stdin) })
		if err != nil {
			return nil, err
		}
		return []artifact.Packed{{Path: "manifest.yaml", Size: int64(len(data)), Open: func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(data)), nil
		}}}, nil
	}
	info, err := os.Stat(f.path)
	if err != nil {
		return nil, usagef(cmd, "--path: %s: %s", f.path, innermost(err))
	}
	if !info.IsDir() {
		if !info.Mode().IsRegular() {
			return nil, usagef(cmd, "--path: %s is neither a file nor a directory", f.path)
		}
		return []artifact.Packed{packedFile(f.path, filepath.Base(f.path), info)}, nil
	}
	patterns := strings.Join(slices.Concat(f.ignorePaths, f.alsoIgnore), "\n")
	c := &collector{app: a, ctx: ctx, flags: f, rules: artifact.NewIgnore(&patterns), skip: artifact.NewIgnore(nil)}
	if err := c.rules.Err(); err != nil {
		return nil, usagef(cmd, "--ignore-paths: %s", err)
	}
	if err := c.walk(f.path, ".", nil); err != nil {
		return nil, err
	}
	files := slices.DeleteFunc(c.files, func(file artifact.Packed) bool { return c.rules.Match(file.Path) })
	if len(files) == 0 {
		return nil, usagef(cmd, "--path: there is no file in %s, or all are left out", f.path)
	}
	return files, nil
}

// collector collects the files of a directory.
type collector struct {
	app   *app
	ctx   context.Context // it lives as long as the call
	flags fileFlags
	rules *artifact.Ignore
	skip  *artifact.Ignore // what version control keeps is not even walked
	files []artifact.Packed
}

// walk collects what is in a directory. above are the directories that it is in, of which none may come again.
func (c *collector) walk(dir, name string, above []string) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return fmt.Errorf("%s: %s", dir, innermost(err))
	}
	if slices.Contains(above, real) {
		return refuse("%s: symbolic links go in a circle: leave it out with --add-ignore-paths, or --resolve-symlinks", dir)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("%s: %s", dir, innermost(err))
	}
	for _, entry := range entries {
		if err := c.take(filepath.Join(dir, entry.Name()), path.Join(name, entry.Name()), entry, append(above, real)); err != nil {
			return err
		}
	}
	return nil
}

func (c *collector) take(file, name string, entry fs.DirEntry, above []string) error {
	info, err := entry.Info()
	if err == nil && info.Mode()&fs.ModeSymlink != 0 && c.flags.resolveSymlinks && !c.rules.Match(name) {
		info, err = os.Stat(file)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return refuse("%s: points to nothing, or went away", file)
	case err != nil:
		return fmt.Errorf("%s: %s", file, innermost(err))
	case info.IsDir() && c.skip.Match(name+"/x"):
		return nil
	case info.IsDir():
		return c.walk(file, name, above)
	case !info.Mode().IsRegular():
		if !c.rules.Match(name) {
			c.app.say(symbolWarn, "%s is left out: it is neither a file nor a directory", file)
		}
		return nil
	}
	if err := artifact.CheckPath(name); err != nil {
		return refuse("%s", err)
	}
	if path.Base(name) == artifact.IgnoreFile && c.flags.sourceIgnore {
		data, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("%s: %s", file, innermost(err))
		}
		if err := c.rules.Read(path.Dir(name), data); err != nil {
			return refuse("%s", err)
		}
	}
	c.files = append(c.files, packedFile(file, name, info))
	return nil
}

func packedFile(file, name string, info fs.FileInfo) artifact.Packed {
	packed := artifact.Packed{Path: name, Size: info.Size(), Open: func() (io.ReadCloser, error) { return os.Open(file) }}
	if info.Mode()&0o100 != 0 {
		packed.Mode = artifact.Executable
	}
	return packed
}

// packed is the archive of the files.
func (a *app) packed(ctx context.Context, cmd *cobra.Command, f fileFlags) ([]byte, error) {
	files, err := a.collect(ctx, cmd, f)
	if err != nil {
		return nil, err
	}
	var archive bytes.Buffer
	if err := artifact.Pack(&archive, files); err != nil {
		return nil, refuse("%s", err)
	}
	return archive.Bytes(), nil
}
