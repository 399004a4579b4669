package artifact

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/sourceignore"
	"github.com/fluxcd/pkg/sourceignore/gitignore"
)

// IgnoreFile is the name of the files that say what a source leaves out.
const IgnoreFile = sourceignore.IgnoreFile

// Bounds of what every path is compared with. They bound the time of a comparison too: it has no step back.
const (
	// MaxIgnoreFile is how many bytes an ignore file may have, and all of a source together.
	MaxIgnoreFile = 1 << 20
	// maxPatterns bounds the patterns, and maxWild the bytes of those that are more than names.
	maxPatterns = 10_000
	maxWild     = 64 << 10
)

// Ignore says which files a source leaves out, by Flux's rules: what version control keeps for itself always; what the
// ignore files and spec.ignore say, where a directory's file overrules those above it and the spec overrules all; and images,
// archives and the files of CI only while there is no pattern at all. Every file is asked about by itself, so a later
// pattern may bring back a file of a directory that is left out.
//
// It is not for several goroutines at once. Patterns come from outside: who asks about many paths looks at its context
// between them.
type Ignore struct {
	bare     bool
	files    []ignoreFile
	spec     []gitignore.Pattern
	flaw     error // of the spec
	patterns int
	size     int
	wild     int
	matcher  gitignore.Matcher
}

type ignoreFile struct {
	dir      string
	patterns []gitignore.Pattern
}

// NewIgnore returns the rules of a source whose spec.ignore is given, if it has one. A spec that is beyond the bounds is
// refused by Err, and by each Read.
func NewIgnore(spec *string) *Ignore {
	i := &Ignore{}
	if spec != nil {
		i.spec, i.flaw = i.parse("spec.ignore", nil, []byte(*spec))
	}
	return i
}

// NewBareIgnore returns rules that leave out only what the patterns say, and nothing without any: as Flux has it of a
// Bucket, whose revision follows from the objects that are not left out.
func NewBareIgnore(spec *string) *Ignore {
	i := NewIgnore(spec)
	i.bare = true
	return i
}

// Err says what is wrong with spec.ignore. It is an InvalidError.
func (i *Ignore) Err() error { return i.flaw }

// Read adds the patterns of a directory's ignore file, "." being the root; in any order. Its errors are InvalidErrors
// that name the file.
func (i *Ignore) Read(dir string, content []byte) error {
	if i.flaw != nil {
		return i.flaw
	}
	name := IgnoreFile
	var domain []string
	if dir != "." && dir != "" {
		name = dir + "/" + IgnoreFile
		domain = strings.Split(dir, "/")
	}
	patterns, err := i.parse(name, domain, content)
	if err != nil {
		return err
	}
	i.files = append(i.files, ignoreFile{strings.Join(domain, "/"), patterns})
	i.matcher = nil
	return nil
}

// Match reports whether the file at the path is left out.
func (i *Ignore) Match(path string) bool {
	if i.matcher == nil {
		i.matcher = i.compile()
	}
	return i.matcher.Match(strings.Split(path, "/"), false)
}

// compile puts the patterns in order: the last that matches decides.
func (i *Ignore) compile() gitignore.Matcher {
	var patterns []gitignore.Pattern
	switch {
	case i.bare:
	case i.patterns == 0:
		return sourceignore.NewDefaultMatcher(nil, nil)
	default:
		patterns = sourceignore.VCSPatterns(nil)
	}
	slices.SortStableFunc(i.files, func(a, b ignoreFile) int { return cmp.Compare(a.dir, b.dir) })
	for _, file := range i.files {
		patterns = append(patterns, file.patterns...)
	}
	return sourceignore.NewMatcher(append(patterns, i.spec...))
}

func (i *Ignore) parse(name string, domain []string, content []byte) ([]gitignore.Pattern, error) {
	beyond := func(format string, args ...any) error {
		return invalid("", "%s: %s", short(name), fmt.Sprintf(format, args...))
	}
	if i.size += len(content); i.size > MaxIgnoreFile {
		return nil, beyond("a source's patterns may have %s together", bytesText(MaxIgnoreFile))
	}
	var patterns []gitignore.Pattern
	for line := range bytes.SplitSeq(content, []byte("\n")) {
		line = bytes.TrimSuffix(line, []byte("\r"))
		if bytes.HasPrefix(line, []byte("#")) || len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if i.patterns++; i.patterns > maxPatterns {
			return nil, beyond("a source may have %d patterns", maxPatterns)
		}
		if bytes.ContainsAny(line, `*?[\`) {
			if i.wild += len(line); i.wild > maxWild {
				return nil, beyond("a source's patterns with *, ? and [] may have %d bytes together", maxWild)
			}
		}
		patterns = append(patterns, gitignore.ParsePattern(string(line), domain))
	}
	return patterns, nil
}
