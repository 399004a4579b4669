package confine_test

import (
	"testing"
	"testing/fstest"

	"flotilla.dev/flotilla/pkg/confine"
)

func TestMemoryIsThatOfTheNarrowestControlGroup(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	for name, tc := range map[string]struct {
		files       map[string]string
		whole, left int64
		bounded     bool
	}{
		"none": {nil, 0, 0, false},
		"no bound": {map[string]string{"sys/fs/cgroup/memory.max": "max\n", "sys/fs/cgroup/memory.current": "1\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n", "sys/fs/cgroup/memory/memory.usage_in_bytes": "1\n"}, 0, 0, false},
		"a container": {map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1073741824\n", "sys/fs/cgroup/memory.current": "536870912\n",
			"sys/fs/cgroup/memory.stat": "anon 1\ninactive_file 104857600\nactive_file 5\n"}, 1024 * mib, 612 * mib, true},
		"a service below a slice": {map[string]string{"proc/self/cgroup": "0::/a.slice/b.service\n",
			"sys/fs/cgroup/a.slice/memory.max": "104857600", "sys/fs/cgroup/a.slice/memory.current": "1048576",
			"sys/fs/cgroup/a.slice/b.service/memory.max": "209715200", "sys/fs/cgroup/a.slice/b.service/memory.current": "524288"}, 100 * mib, 99 * mib, true},
		"the first version": {map[string]string{"proc/self/cgroup": "5:devices:/x\n4:memory:/docker/0e6c\n0::/\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "209715200\n", "sys/fs/cgroup/memory/memory.usage_in_bytes": "104857600\n",
			"sys/fs/cgroup/memory/memory.stat": "inactive_file 1\ntotal_inactive_file 1048576\n"}, 200 * mib, 101 * mib, true},
		"over": {map[string]string{"sys/fs/cgroup/memory.max": "10", "sys/fs/cgroup/memory.current": "20"}, 10, 0, true},
	} {
		system := fstest.MapFS{}
		for file, content := range tc.files {
			system[file] = &fstest.MapFile{Data: []byte(content)}
		}
		if whole, left, bounded := confine.Container(system); whole != tc.whole || left != tc.left || bounded != tc.bounded {
			t.Errorf("%s: %d, %d left, bounded %v; want %d, %d, %v", name, whole, left, bounded, tc.whole, tc.left, tc.bounded)
		}
	}
}
