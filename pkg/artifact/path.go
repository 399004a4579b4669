package artifact

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Limits of a path in a Tree.
const (
	MaxPath  = 4096
	MaxName  = 255
	MaxDepth = 64
)

// CheckPath accepts a relative slash-separated path to something below the root, and nothing that any operating
// system could read as more: no empty, "." or ".." part, no backslash, NUL or other control character, no drive.
// Its errors wrap fleet.ErrInvalid.
func CheckPath(path string) error {
	why := ""
	switch {
	case path == "":
		why = "it is empty"
	case len(path) > MaxPath:
		why = fmt.Sprintf("it is longer than %d bytes", MaxPath)
		path = path[:MaxName] + "..."
	case path[0] == '/' || (len(path) > 1 && path[1] == ':'):
		why = "it is absolute"
	case strings.Count(path, "/") >= MaxDepth:
		why = fmt.Sprintf("it is more than %d directories deep", MaxDepth)
	case !utf8.ValidString(path) || strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }):
		why = "it has a backslash or characters that are not text"
	default:
		for part := range strings.SplitSeq(path, "/") {
			switch {
			case part == "" || part == "." || part == "..":
				why = fmt.Sprintf("it has the part %q", part)
			case len(part) > MaxName:
				why = fmt.Sprintf("a part of it is longer than %d bytes", MaxName)
			}
		}
	}
	if why != "" {
		return fmt.Errorf("%w: path %q: %s", fleet.ErrInvalid, path, why)
	}
	return nil
}
