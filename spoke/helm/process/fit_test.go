package process_test

import (
	"testing"

	"flotilla.dev/flotilla/spoke/helm/process"
)

func TestProcessesFitIntoTheContainer(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		memory, container, each int64
		count                   int
	}{ // in MiB
		{0, 0, 512, 5},
		{1024, 0, 1024, 5},
		{0, 8192, 512, 5},
		{0, 2048, 512, 3},
		{256, 2048, 256, 5},
		{0, 1024, 512, 1},
		{256, 1024, 256, 3},
		{2048, 1024, 768, 1},
		{0, 512, 384, 1},
		{0, 256, 160, 1},
		{0, 100, 64, 1},
	} {
		each, count := process.Fit(tc.memory<<20, tc.container<<20)
		if each != tc.each<<20 || count != tc.count {
			t.Errorf("of %d MiB each in %d MiB: %d of %d MiB, want %d of %d", tc.memory, tc.container, count, each>>20, tc.count, tc.each)
		}
	}
}
