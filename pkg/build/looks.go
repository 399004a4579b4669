package build

import (
	"cmp"
	"encoding/binary"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"flotilla.dev/flotilla/pkg/fleet"
)

// looks is a FileSystem that notes what is looked at in another, in order, and what is there. As a plan is pure, one of
// another tree in which the same looks have the same answers proceeds alike from one look to the next, and comes to the
// same.
type looks struct {
	fsys FileSystem
	seen []look
	at   map[string]int // by input
}

// look is at one input.
type look struct {
	input string
	// read says that the content was read, and not only asked for what is there.
	read bool
	// scanned says that it matters no more than that kustomize reads the content as objects, whatever they are.
	scanned bool
	answer
}

// answer is what there is: a file, with the digest of its content where that matters, a directory, with the digest of
// its listing where it was listed, or nothing.
type answer struct {
	kind   byte // one of those below
	digest fleet.Digest
}

const (
	none      = 'n'
	file      = 'f'
	directory = 'd'
)

func newLooks(fsys FileSystem) *looks { return &looks{fsys: fsys, at: map[string]int{}} }

// note keeps a look. Of a file that was read and asked for, the reading counts.
func (l *looks) note(input string, read bool, a answer) {
	i, known := l.at[input]
	switch {
	case !known:
		l.at[input] = len(l.seen)
		l.seen = append(l.seen, look{input: input, read: read, answer: a})
	case read && !l.seen[i].read:
		l.seen[i].read, l.seen[i].answer = true, a
	}
}

// sorted returns the looks by input.
func sorted(seen []look) []look {
	return slices.SortedFunc(slices.Values(seen), func(a, b look) int { return cmp.Compare(a.input, b.input) })
}

// inputsOf are what was looked at, sorted.
func inputsOf(seen []look) []string {
	inputs := make([]string, len(seen))
	for i, look := range seen {
		inputs[i] = look.input
	}
	slices.Sort(inputs)
	return inputs
}

// ReadFile implements FileSystem.
func (l *looks) ReadFile(name string) ([]byte, error) {
	data, err := l.fsys.ReadFile(name)
	switch {
	case err == nil:
		digest, known := digestOf(l.fsys, name)
		if !known {
			digest = fleet.DigestOf(data)
		}
		l.note(name, true, answer{file, digest})
	case errors.Is(err, fs.ErrNotExist):
		l.note(name, false, answer{kind: none})
	default: // a directory, which is asked for next, or a failure, which ends the plan
		l.note(name, false, answer{kind: directory})
	}
	return data, err
}

// Stat implements FileSystem.
func (l *looks) Stat(name string) (fs.FileInfo, error) {
	info, err := l.fsys.Stat(name)
	switch {
	case err != nil:
		l.note(name, false, answer{kind: none})
	case info.IsDir():
		l.note(name, false, answer{kind: directory})
	default:
		l.note(name, false, answer{kind: file})
	}
	return info, err
}

// ReadDir implements FileSystem.
func (l *looks) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := l.fsys.ReadDir(name)
	a := answer{kind: none}
	if err == nil {
		a = answer{directory, listing(entries)}
	}
	l.note(name+"/", true, a)
	return entries, err
}

// Digest implements Digester. It is no look at anything else than the files that are looked at.
func (l *looks) Digest(name string) (fleet.Digest, bool) { return digestOf(l.fsys, name) }

func listing(entries []fs.DirEntry) fleet.Digest {
	var text []byte
	for _, entry := range entries {
		text = binary.LittleEndian.AppendUint32(text, uint32(entry.Type()))
		text = append(append(text, entry.Name()...), 0)
	}
	return fleet.DigestOf(text)
}

// repeat looks at the same of another FileSystem, one after the other, and ends at the first answer that makes it another
// plan: what it looked at, a plan of that one looks at, too. It returns the looks with the answers of now; same says that
// there are all of them, and equal that no answer is another, of contents that were not read neither. Reads says whether
// kustomize reads a file as objects.
func repeat(fsys FileSystem, seen []look, reads func(name string) bool) (now []look, same, equal bool, err error) {
	now, equal = slices.Clone(seen), true
	for i := range now {
		l := &now[i]
		a, err := lookAgain(fsys, *l)
		if err != nil || a.kind != l.kind || l.read && a.digest != l.digest && !(l.scanned && reads(l.input)) {
			return nil, false, false, err
		}
		equal = equal && a == l.answer
		l.answer = a
	}
	return now, true, equal, nil
}

func lookAgain(fsys FileSystem, l look) (answer, error) {
	if name, listed := strings.CutSuffix(l.input, "/"); listed {
		entries, err := fsys.ReadDir(name)
		if err != nil {
			return answer{kind: none}, nil //nolint:nilerr // a plan says what is wrong
		}
		return answer{directory, listing(entries)}, nil
	}
	if digest, known := digestOf(fsys, l.input); known {
		return answer{file, digest}, nil
	}
	info, err := fsys.Stat(l.input)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return answer{kind: none}, nil
	case err != nil:
		return answer{}, err
	case info.IsDir():
		return answer{kind: directory}, nil
	}
	data, err := fsys.ReadFile(l.input)
	return answer{file, fleet.DigestOf(data)}, err
}
