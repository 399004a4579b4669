package cache_test

import (
	"sync"
	"testing"

	"pgregory.net/rapid"

	"flotilla.dev/flotilla/pkg/build/cache"
)

// room is enough for so many items of ten bytes.
func room(items int64) int64 { return items * (10 + cache.Overhead) }

func TestCacheForgetsWhatWasNotUsedForLongest(t *testing.T) {
	t.Parallel()
	c := cache.New[string, int](room(3))
	for i, key := range []string{"a", "b", "c"} {
		c.Put(key, i, 10)
	}
	if value, found := c.Get("a"); !found || value != 0 {
		t.Fatalf("a is %d, %t", value, found)
	}
	c.Put("d", 3, 10)
	for key, want := range map[string]bool{"a": true, "b": false, "c": true, "d": true} {
		if _, found := c.Get(key); found != want {
			t.Errorf("%s is kept: %t, want %t", key, found, want)
		}
	}
}

func TestCachePutsTheNewInThePlaceOfTheOld(t *testing.T) {
	t.Parallel()
	c := cache.New[string, int](room(2))
	c.Put("a", 1, 10)
	c.Put("a", 2, 10)
	c.Put("b", 3, 10)
	if value, found := c.Get("a"); !found || value != 2 || c.Bytes() != room(2) {
		t.Errorf("a is %d, %t, of %d bytes", value, found, c.Bytes())
	}
}

func TestCacheDoesNotKeepWhatIsLargerThanItself(t *testing.T) {
	t.Parallel()
	c := cache.New[string, int](room(2))
	c.Put("a", 1, 10)
	c.Put("b", 2, 10)
	c.Put("c", 3, 1000)
	if _, found := c.Get("c"); found {
		t.Error("what is too large is kept")
	}
	c.Put("a", 4, 1000)
	if _, found := c.Get("a"); found {
		t.Error("what was there before is kept as if it were the new")
	}
	if _, found := c.Get("b"); !found || c.Bytes() != room(1) {
		t.Errorf("b is kept: %t, of %d bytes", found, c.Bytes())
	}
	none := cache.New[string, int](0)
	if none.Put("a", 1, 0); none.Bytes() != 0 {
		t.Error("a cache of no bytes keeps something")
	}
}

func TestCacheForgetsEverythingWhenCleared(t *testing.T) {
	t.Parallel()
	c := cache.New[string, int](room(2))
	c.Put("a", 1, 10)
	c.Clear()
	if _, found := c.Get("a"); found || c.Bytes() != 0 {
		t.Errorf("a is kept: %t, of %d bytes", found, c.Bytes())
	}
	c.Put("b", 2, 10)
	if _, found := c.Get("b"); !found {
		t.Error("nothing is kept after Clear")
	}
}

func TestCacheForgetsWhatIsTaken(t *testing.T) {
	t.Parallel()
	c := cache.New[string, int](room(2))
	c.Put("a", 1, 10)
	if value, found := c.Take("a"); !found || value != 1 {
		t.Errorf("a is %d, %t", value, found)
	}
	if _, found := c.Take("a"); found || c.Bytes() != 0 {
		t.Errorf("a is there again: %t, of %d bytes", found, c.Bytes())
	}
}

func TestCacheStaysWithinItsBytes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		limit := rapid.Int64Range(0, 2000).Draw(rt, "limit")
		c, last := cache.New[int, int](limit), map[int]int{}
		for i := range rapid.IntRange(0, 60).Draw(rt, "steps") {
			key := rapid.IntRange(0, 9).Draw(rt, "key")
			if rapid.Bool().Draw(rt, "put") {
				c.Put(key, i, rapid.Int64Range(0, 500).Draw(rt, "bytes"))
				last[key] = i
			}
			if value, found := c.Get(key); found && value != last[key] {
				rt.Fatalf("%d is %d, want %d", key, value, last[key])
			}
			if c.Bytes() < 0 || c.Bytes() > limit {
				rt.Fatalf("%d bytes of %d", c.Bytes(), limit)
			}
		}
	})
}

func TestCacheIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	c := cache.New[int, int](room(5))
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			for i := range 1000 {
				c.Put((i+worker)%10, i, 10)
				c.Get(i % 10)
				if i%100 == 0 {
					c.Clear()
				}
			}
		})
	}
	all.Wait()
	if c.Bytes() > room(5) {
		t.Errorf("%d bytes", c.Bytes())
	}
}
