package git

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
)

// rules are what a Tree leaves out, and a name that tells whether others are the same.
type rules struct {
	name   fleet.Digest
	ignore *artifact.Ignore
}

// ignoreFile is one that says what is left out.
type ignoreFile struct {
	dir     string
	from    *dir          // which has it in Git;
	hash    plumbing.Hash // as this,
	content []byte        // or what it says, of an included Tree
}

// filter marks what is kept. Rules that are as before leave the marks of what did not change as they are.
func (w *walker) filter(root, old *dir) error {
	files := append(ignoreFiles(root, nil), w.includedIgnores()...)
	name := w.nameRules(files)
	if old != nil && old.rules != nil && old.rules.name == name {
		w.rules = old.rules
	} else if err := w.readRules(name, files); err != nil {
		return err
	}
	if err := w.mark(root); err != nil {
		return err
	}
	kept := w.included[:0]
	for _, file := range w.included {
		if !w.rules.ignore.Match(file.Path) {
			kept = append(kept, file)
		}
	}
	w.included = kept
	return nil
}

func ignoreFiles(d *dir, files []ignoreFile) []ignoreFile {
	if !d.ignores {
		return files
	}
	for _, e := range d.entries {
		switch {
		case e.sub != nil:
			files = ignoreFiles(e.sub, files)
		case e.name == artifact.IgnoreFile && isFile(e.mode):
			files = append(files, ignoreFile{dir: d.path, from: d, hash: e.hash})
		}
	}
	return files
}

func (w *walker) nameRules(files []ignoreFile) fleet.Digest {
	sum := sha256.New()
	write := func(part []byte) {
		_, _ = sum.Write(binary.AppendUvarint(nil, uint64(len(part)))) // a hash never fails
		_, _ = sum.Write(part)
	}
	if spec := specOf(w.upstream).Ignore; spec != nil {
		write([]byte(*spec))
	}
	for _, file := range files {
		write([]byte(file.dir))
		write(file.hash[:])
		write(file.content)
	}
	return fleet.Digest(sum.Sum(nil))
}

func (w *walker) readRules(name fleet.Digest, files []ignoreFile) error {
	w.rules = &rules{name: name, ignore: artifact.NewIgnore(specOf(w.upstream).Ignore)}
	if err := w.rules.ignore.Err(); err != nil {
		return w.upstream.Fail(source.KindInvalid, "%s", artifact.Message(err))
	}
	for _, file := range files {
		content := file.content
		if file.from != nil {
			var err error
			if content, err = w.read(file.from, artifact.IgnoreFile, file.hash, artifact.MaxIgnoreFile); err != nil {
				return err
			}
		}
		if err := w.rules.ignore.Read(file.dir, content); err != nil {
			return w.upstream.Fail(source.KindLimit, "%s", artifact.Message(err))
		}
	}
	return nil
}

// mark asks the rules of what is new to them.
func (w *walker) mark(d *dir) error {
	if d.rules == w.rules {
		return nil
	}
	if err := w.ctx.Err(); err != nil {
		return err
	}
	for i := range d.entries {
		e := &d.entries[i]
		switch {
		case e.sub != nil:
			if err := w.mark(e.sub); err != nil {
				return err
			}
		case isFile(e.mode):
			e.kept = !w.rules.ignore.Match(join(d.path, e.name))
		}
	}
	d.rules = w.rules
	return nil
}

// includedIgnores are the ignore files among what is included: they hold where they come to be.
func (w *walker) includedIgnores() []ignoreFile {
	var files []ignoreFile
	for _, file := range w.included {
		dir, name := ".", file.Path
		if i := strings.LastIndexByte(file.Path, '/'); i >= 0 {
			dir, name = file.Path[:i], file.Path[i+1:]
		}
		if name == artifact.IgnoreFile && file.Size <= artifact.MaxIgnoreFile {
			if content, err := w.git.config.Store.Get(w.ctx, file.Digest); err == nil {
				files = append(files, ignoreFile{dir: dir, content: bytes.Clone(content)})
			}
		}
	}
	return files
}
