package git

import (
	"strings"
)

// nameProblem says what is wrong with the name of an entry, by what Git itself refuses; empty: nothing. What no Tree can
// have beside that is said by the Tree, and only of what is not left out.
func nameProblem(name string) string {
	switch {
	case name == "":
		return "has no name"
	case name == "." || name == "..":
		return "is no name of its own"
	case strings.ContainsAny(name, "/\x00"):
		return "has a character that no name has"
	case name != ".git" && isDotGit(name):
		return "would be .git on some disks"
	}
	return ""
}

// isDotGit reports whether a file system may take a name for .git: without regard to case, with characters that HFS+ does
// not see, by the short name that NTFS gives, with what it drops at the end.
func isDotGit(name string) bool {
	name = strings.Map(func(r rune) rune {
		switch {
		case r >= 0x200c && r <= 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x206a && r <= 0x206f, r == 0xfeff:
			return -1
		}
		return r
	}, name)
	name, _, _ = strings.Cut(name, ":") // a stream of NTFS
	name = strings.TrimRight(strings.ToLower(name), " .")
	return name == ".git" || name == "git~1"
}
