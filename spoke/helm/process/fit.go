package process

import "cmp"

const (
	// DefaultMemory is what a process may use beside its code, LeastMemory what Helm needs for anything.
	DefaultMemory = 512 << 20
	LeastMemory   = 64 << 20

	// spokesShare of the memory of a container is the spoke's own, and spokesLeast at least.
	spokesShare = 4
	spokesLeast = 96 << 20
	// defaultCount is how many processes there are at once: as many as Flux works at, and one for a person's question.
	defaultCount = 5
)

// Fit says how much memory each process may have, and how many there may be at once, so that all of them together leave the
// spoke its own in a container with that much: what one chart makes of its process costs no other anything. Container 0: it
// has no bound. Memory 0: DefaultMemory, or what the container has for one.
func Fit(memory, container int64) (each int64, count int) {
	if container == 0 {
		return cmp.Or(memory, DefaultMemory), defaultCount
	}
	left := container - max(container/spokesShare, spokesLeast)
	each = max(min(cmp.Or(memory, DefaultMemory), left), LeastMemory)
	return each, int(min(max(left/each, 1), defaultCount))
}
