package git

import "slices"

// lists remembers whose lists of refs are in memory, the one used last at the end: they are as long as servers make them.
type lists struct {
	held  []*upstream
	limit int
}

// maxListed is how many refs are remembered over all upstreams: some 80 MiB.
const maxListed = 500_000

// size is how many refs a list has.
func (l *listing) size() int { return len(l.refs) + len(l.peeled) }

// use notes that an upstream's list is of use, and lets those go that were not for longest, where all together are too long.
// The list of one alone is kept.
func (s *lists) use(state *upstream) {
	s.forget(state)
	s.held = append(s.held, state)
	total := 0
	for i, other := range slices.Backward(s.held) {
		other.mu.Lock()
		if other.list != nil {
			total += other.list.size()
		}
		if total > s.limit && i < len(s.held)-1 {
			other.list = nil
		}
		other.mu.Unlock()
	}
	s.held = slices.DeleteFunc(s.held, func(other *upstream) bool {
		other.mu.Lock()
		defer other.mu.Unlock()
		return other.list == nil
	})
}

func (s *lists) forget(state *upstream) {
	s.held = slices.DeleteFunc(s.held, func(other *upstream) bool { return other == state })
}
