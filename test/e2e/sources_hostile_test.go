package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"flotilla.dev/flotilla/test/lab"
)

// hostileGrowth is how much more memory a hub may have had at any time than before it had hostile sources: what eight
// fetches and four pushes hold of archives at their bounds. Together the archives would unpack to far more.
const hostileGrowth = 256 << 20

// One hub has more than a hundred hostile sources and one good one of each kind.
func TestHostileSourcesAreNamedAndTheGoodOnesGoOn(t *testing.T) {
	t.Parallel()
	fleet := startFleet(t)
	good := newGoodSources(t, fleet)
	good.follow("before-them")
	pid, before, outside := fleet.Hub.PID(), memory(t, fleet.Hub.PID()), outsideOfHub(t, fleet)

	evil := newEvil(t, fleet)
	evil.registry()
	evil.buckets()
	evil.trees()
	evil.charts()
	evil.servers()
	evil.apply()
	evil.pushes()
	good.follow("among-them")
	evil.refused()
	good.follow("after-them")

	if now := fleet.Hub.PID(); now != pid {
		t.Errorf("the hub was process %d and is %d", pid, now)
	}
	grown := memory(t, pid) - before
	t.Logf("%d hostile sources and %d pushes; the hub's memory had grown by %d MiB at most", len(evil.sources), evil.pushed, grown>>20)
	if grown > hostileGrowth {
		t.Errorf("the hub's memory had grown by %d MiB", grown>>20)
	}
	if now := outsideOfHub(t, fleet); !slices.Equal(now, outside) {
		t.Errorf("there are files\n%s\nthere were\n%s", now, outside)
	}
	insideOfHub(t, fleet)
}

// memory is the most that a process had at any time, in bytes.
func memory(t *testing.T, pid int) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, is := strings.CutPrefix(line, "VmHWM:"); is {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Fatalf("process %d does not tell its memory", pid)
	return 0
}

// outsideOfHub are places beside the hub's, by name: the fleet's directory, the one above, and where archives point to.
func outsideOfHub(t *testing.T, fleet *lab.Fleet) (names []string) {
	t.Helper()
	for _, dir := range []string{fleet.Dir(), "/etc/cron.d"} {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		for _, entry := range entries {
			names = append(names, filepath.Join(dir, entry.Name()))
		}
	}
	passwd, err := os.Stat("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	return append(names, fmt.Sprint("/etc/passwd ", passwd.ModTime()))
}

// insideOfHub fails when a file of a source is in the hub's directory, by name or by content: the hub has mirrors of Git's
// objects there, which are compressed.
func insideOfHub(t *testing.T, fleet *lab.Fleet) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(fleet.Dir(), "hub"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it was temporary
		}
		if err != nil {
			return err
		}
		if name := entry.Name(); strings.Contains(name, "escape") || strings.Contains(name, "passwd") || strings.HasSuffix(name, ".yaml") {
			t.Errorf("%s is there", path)
		}
		if bytes.Contains(content, []byte(evilContent)) || bytes.Contains(content, []byte("root::0:0::/")) {
			t.Errorf("%s has what a source has", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// readyOf are the words of the condition Ready of every source, by "namespace/name".
func readyOf(t *testing.T, fleet *lab.Fleet) (map[string]string, error) {
	t.Helper()
	out := fleet.Fleetctl(t.Context(), "get", "sources", "-A", "-o", "json")
	if err := out.Err(); err != nil {
		return nil, err
	}
	var list struct {
		Items []struct {
			Metadata struct{ Namespace, Name string }
			Status   struct {
				Conditions []struct{ Type, Status, Reason, Message string }
			}
		}
	}
	if err := json.Unmarshal([]byte(out.Stdout), &list); err != nil {
		return nil, err
	}
	ready := map[string]string{}
	for _, item := range list.Items {
		for _, c := range item.Status.Conditions {
			if c.Type == "Ready" {
				ready[item.Metadata.Namespace+"/"+item.Metadata.Name] = c.Status + " " + c.Reason + " " + c.Message
			}
		}
	}
	return ready, nil
}
