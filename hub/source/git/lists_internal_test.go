package git

import (
	"fmt"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
)

func TestListsOfRefsAreKeptAsLongAsAllTogetherHaveRoom(t *testing.T) {
	t.Parallel()
	g := &Git{upstreams: map[string]*upstream{}, lists: lists{limit: 100}}
	listed := func(name string, refs int) {
		list := &listing{refs: map[string]plumbing.Hash{}}
		for i := range refs {
			list.refs[fmt.Sprint(i)] = plumbing.ZeroHash
		}
		g.keepList(g.upstream(name), list)
	}
	kept := func() (names string) {
		for _, name := range []string{"a", "b", "c", "d"} {
			if g.upstream(name).list != nil {
				names += name
			}
		}
		return names
	}
	for _, step := range []struct {
		name string
		refs int
		want string
	}{
		{"a", 40, "a"}, {"b", 40, "ab"},
		{"a", 40, "ab"}, // in use again
		{"c", 40, "ac"}, // b is the one not used for longest
		{"c", 50, "ac"}, // in place of its own
		{"d", 500, "d"}, // too long, and the only one
		{"a", 1, "a"},   // and not any more beside another
		{"b", 99, "ab"}, // as much as there is room for
		{"c", 0, "abc"}, // none
		{"d", 1, "bcd"},
	} {
		if listed(step.name, step.refs); kept() != step.want {
			t.Fatalf("after %d refs of %s: kept %s, want %s", step.refs, step.name, kept(), step.want)
		}
	}
	if len(g.lists.held) != 3 {
		t.Errorf("%d are remembered, want 3", len(g.lists.held))
	}
}
