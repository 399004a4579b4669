package helm

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"flotilla.dev/flotilla/pkg/confine"
	"flotilla.dev/flotilla/pkg/fleet"
)

// roomNeeded is what Helm's process may take for an ordinary chart before a question is refused: passes go first.
const roomNeeded = 128 << 20

// room refuses where memory is short: of the machine, or of what the spoke's container may use. What cannot be read does
// not count.
func room(system fs.FS) error {
	for _, of := range []struct {
		what string
		left func(fs.FS) (int64, bool)
	}{{"the node", nodeLeft}, {"the spoke's container", containerLeft}} {
		if left, known := of.left(system); known && left < roomNeeded {
			return fmt.Errorf("%w: memory is short: %s has %d MiB left, and Helm may take %d MiB for an answer; ask again later",
				fleet.ErrUnavailable, of.what, max(left, 0)>>20, roomNeeded>>20)
		}
	}
	return nil
}

func nodeLeft(system fs.FS) (int64, bool) {
	content, err := fs.ReadFile(system, "proc/meminfo")
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(content)) {
		if fields := strings.Fields(line); len(fields) >= 2 && fields[0] == "MemAvailable:" {
			kib, err := strconv.ParseInt(fields[1], 10, 64)
			return kib << 10, err == nil
		}
	}
	return 0, false
}

func containerLeft(system fs.FS) (int64, bool) {
	_, left, bounded := confine.Container(system)
	return left, bounded
}
