package artifact

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits of a path in a Tree.
const (
	MaxPath  = 4096
	MaxName  = 255
	MaxDepth = 64
)

// CheckPath accepts a relative slash-separated path to something below the root, and nothing that any operating
// system could read as more: no empty, "." or ".." part, no backslash, NUL or other control character, no drive.
// Its errors are InvalidErrors.
func CheckPath(path string) error {
	if why := flaw(path); why != "" {
		return invalid(path, "%s", why)
	}
	return nil
}

// flaw says what is wrong with a path, and nothing of a good one.
func flaw(path string) string {
	switch {
	case path == "":
		return "a path is empty"
	case len(path) > MaxPath:
		return fmt.Sprintf("it is longer than %d bytes", MaxPath)
	case path[0] == '/' || (len(path) > 1 && path[1] == ':'):
		return "it is absolute"
	case strings.Count(path, "/") >= MaxDepth:
		return fmt.Sprintf("it is more than %d directories deep", MaxDepth)
	case !utf8.ValidString(path) || strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }):
		return "it has a backslash or characters that are not text"
	}
	for part := range strings.SplitSeq(path, "/") {
		switch {
		case part == "" || part == "." || part == "..":
			return fmt.Sprintf("it has the part %q", part)
		case len(part) > MaxName:
			return fmt.Sprintf("a part of it is longer than %d bytes", MaxName)
		}
	}
	return ""
}
