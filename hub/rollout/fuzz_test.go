package rollout_test

import (
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// FuzzAnySchedule is TestAnySchedule with schedules that coverage chooses.
func FuzzAnySchedule(f *testing.F) {
	random := rand.NewChaCha8([32]byte{})
	for range 8 {
		seed := make([]byte, 16<<10)
		_, _ = random.Read(seed) // it never fails
		f.Add(seed)
	}
	f.Fuzz(rapid.MakeFuzz(judged(func(t *rapid.T) (*world, *oracle) { return anySchedule(t, 12, 20) })))
}
