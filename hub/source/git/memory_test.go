package git_test

import (
	"fmt"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// memory is what the process holds, in bytes: the objects of its heap, with those of no use until they are collected, and
// what is resident, which Linux alone tells; elsewhere it is 0.
type memory struct{ heap, resident float64 }

// memoryNow is what is held once all that is not needed was let go.
func memoryNow() memory {
	debug.FreeOSMemory()
	return readMemory(newHeapSample())
}

func newHeapSample() []metrics.Sample {
	return []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
}

func readMemory(heap []metrics.Sample) memory {
	metrics.Read(heap)
	var size, resident float64
	if statm, err := os.ReadFile("/proc/self/statm"); err == nil {
		_, _ = fmt.Sscan(string(statm), &size, &resident)
	}
	return memory{float64(heap[0].Value.Uint64()), resident * float64(os.Getpagesize())}
}

// watchMemory looks every millisecond. It returns what ends that, and says the most that was seen of either.
func watchMemory() (stop func() memory) {
	ended, top := make(chan struct{}), make(chan memory)
	go func() {
		ticker := time.NewTicker(time.Millisecond)
		defer ticker.Stop()
		var most memory
		for sample := newHeapSample(); ; {
			now := readMemory(sample)
			most = memory{max(most.heap, now.heap), max(most.resident, now.resident)}
			select {
			case <-ticker.C:
			case <-ended:
				top <- most
				return
			}
		}
	}()
	return func() memory { close(ended); return <-top }
}
