package source_test

import (
	"errors"
	"testing"

	"flotilla.dev/flotilla/hub/source"
)

func TestWhatWasUsedLastIsRemembered(t *testing.T) {
	t.Parallel()
	r := source.NewRecent[string, int](10)
	has := func(want string) {
		t.Helper()
		got := ""
		for _, key := range []string{"a", "b", "c", "d"} {
			if _, found := r.Get(key); found {
				got += key
			}
		}
		if got != want {
			t.Errorf("%q are remembered, want %q", got, want)
		}
	}
	r.Put("a", 1, 4)
	r.Put("b", 2, 4)
	if value, found := r.Get("a"); !found || value != 1 {
		t.Errorf("%d, %t; want what was put", value, found)
	}
	r.Put("c", 3, 4) // too much: b was not used for longest
	has("ac")
	r.Put("a", 5, 6) // in the place of what it was
	has("ac")
	if value, _ := r.Get("a"); value != 5 {
		t.Errorf("%d; want what was put last", value)
	}
	r.Put("d", 4, 100) // alone it is kept
	has("d")
	r.Put("b", 2, 10)
	has("b")
}

func TestWhatWeighsNothingIsForgottenToo(t *testing.T) {
	t.Parallel()
	r := source.NewRecent[int, int](10)
	for i := range 20 {
		r.Put(i, i, 0)
	}
	if _, found := r.Get(9); found {
		t.Error("it is remembered for ever")
	}
	if _, found := r.Get(10); !found {
		t.Error("it is forgotten though there is room")
	}
}

func TestNobodyWaitsWhileSomethingIsMade(t *testing.T) {
	t.Parallel()
	r := source.NewRecent[string, int](2)
	value, err := r.GetOr("a", func() (int, error) {
		if first, err := r.GetOr("a", func() (int, error) { return 1, nil }); err != nil || first != 1 {
			t.Errorf("%d, %v; want what was made meanwhile", first, err)
		}
		return 2, nil
	})
	if err != nil || value != 1 {
		t.Errorf("%d, %v; want what was there first", value, err)
	}
}

func TestWhatIsNotRememberedIsMadeOnce(t *testing.T) {
	t.Parallel()
	r := source.NewRecent[string, int](2)
	made := 0
	make := func() (int, error) { made++; return made, nil }
	if _, err := r.GetOr("a", func() (int, error) { return 0, errors.New("not now") }); err == nil {
		t.Error("the error is lost")
	}
	for range 2 {
		if value, err := r.GetOr("a", make); err != nil || value != 1 {
			t.Errorf("%d, %v; want what was made first", value, err)
		}
	}
	for _, key := range []string{"b", "c", "a"} { // a is forgotten by then
		if _, err := r.GetOr(key, make); err != nil {
			t.Fatal(err)
		}
	}
	if made != 4 {
		t.Errorf("%d were made, want 4", made)
	}
}
