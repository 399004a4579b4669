package confine

import (
	"bytes"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// Container is what the control groups of this process leave it of memory: the whole of the narrowest, and what is left now,
// with what is held of files, which is given back. system is the root of the file system. It is not bounded where no group
// says so.
func Container(system fs.FS) (whole, left int64, bounded bool) {
	for _, v := range []version{
		{"0::", "sys/fs/cgroup", "memory.max", "memory.current", "inactive_file "},
		{":memory:", "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "},
	} {
		// From the group of its own upwards: in a container its name is that outside, and only the root is there.
		for at := v.group(system); ; at = path.Dir(at) {
			most, used, has := v.memory(system, path.Join(v.root, at))
			if has && (!bounded || most < whole) {
				whole = most
			}
			if has && (!bounded || most-used < left) {
				left = most - used
			}
			bounded = bounded || has
			if at == "/" {
				break
			}
		}
	}
	return whole, max(left, 0), bounded
}

// version is how one of the two versions of control groups names things.
type version struct {
	line, root        string
	limit, used, file string
}

// group is where this process is.
func (v version) group(system fs.FS) string {
	content, _ := fs.ReadFile(system, "proc/self/cgroup") // without, it is at the root
	for line := range strings.Lines(string(content)) {
		if _, name, found := strings.Cut(strings.TrimSpace(line), v.line); found {
			return path.Join("/", name)
		}
	}
	return "/"
}

// unbounded is more than any machine has: the first version has no other way to say that there is no limit.
const unbounded = 1 << 60

func (v version) memory(system fs.FS, dir string) (most, used int64, bounded bool) {
	number := func(name string) (int64, bool) {
		content, err := fs.ReadFile(system, path.Join(dir, name))
		if err != nil {
			return 0, false
		}
		n, err := strconv.ParseInt(string(bytes.TrimSpace(content)), 10, 64)
		return n, err == nil // "max" is no bound
	}
	most, bounded = number(v.limit)
	used, known := number(v.used)
	if !bounded || !known || most >= unbounded {
		return 0, 0, false
	}
	stat, _ := fs.ReadFile(system, path.Join(dir, "memory.stat")) // without, nothing is given back
	for line := range strings.Lines(string(stat)) {
		if rest, is := strings.CutPrefix(line, v.file); is {
			files, _ := strconv.ParseInt(strings.TrimSpace(rest), 10, 64) // 0 where it is no number
			used -= files
		}
	}
	return most, used, true
}
