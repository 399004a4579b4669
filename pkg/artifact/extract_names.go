package artifact

import (
	"fmt"
	"strings"

	"flotilla.dev/flotilla/pkg/fleet"
)

// names are the paths of an archive so far, by digest: a path may be long.
type names map[fleet.Digest]nameKind

type nameKind uint8

const (
	isFile nameKind = iota + 1
	isDirectory
	isLink
	isImplied // a directory that only its contents name
)

func (k nameKind) String() string {
	switch k {
	case isFile:
		return "a file"
	case isLink:
		return "a symbolic link"
	}
	return "a directory"
}

// add notes a path and the directories that it is in.
func (e *extraction) add(path string, kind nameKind) error {
	if e.nameBytes += len(path); e.nameBytes > maxNames {
		return e.beyond("with it the archive has names of more than %s", bytesText(maxNames))
	}
	key := fleet.DigestOf([]byte(path))
	switch before := e.names[key]; {
	case before == 0, before == isImplied && kind == isDirectory, before == isDirectory && kind == isDirectory:
	case before == kind:
		return e.refuse("it is there twice")
	default:
		if before == isImplied {
			before = isDirectory
		}
		return e.refuse("it is %s and %s", min(before, kind), max(before, kind))
	}
	e.names[key] = kind
	for dir := parent(path); dir != "."; dir = parent(dir) {
		key := fleet.DigestOf([]byte(dir))
		switch before := e.names[key]; before {
		case isFile, isLink:
			return e.refuse("%q, which it is in, is %s", cut(dir), before)
		case isDirectory, isImplied:
			return e.counted()
		}
		e.names[key] = isImplied
	}
	return e.counted()
}

func (e *extraction) counted() error {
	if len(e.names) > e.limits.Entries {
		return e.beyond("with it the archive has more than %d files and directories", e.limits.Entries)
	}
	return nil
}

// cut is a name as it may be shown, before quoting.
func cut(name string) string {
	const most = 200
	if len(name) > most {
		return name[:most] + "..."
	}
	return name
}

// short is a name that is shown without quotes: what is no text in it is escaped all the same.
func short(name string) string {
	return strings.Trim(fmt.Sprintf("%q", cut(name)), `"`)
}
