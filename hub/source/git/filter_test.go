package git_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/flux"
)

func TestSpecIgnoreComesAfterTheRepositorysFiles(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{".sourceignore": "/secret\n", "secret/a": "kept", "docs/b": "", "logo.png": "kept", "app/c": "kept"})
	u := b.upstream(flux.GitReference{Branch: "main"})
	patterns := "!/secret/a\n/docs\n.sourceignore\n"
	change(&u, func(spec *flux.GitRepository) { spec.Ignore = &patterns })
	if diff := cmp.Diff(map[string]string{"secret/a": "kept", "logo.png": "kept", "app/c": "kept"}, b.fetch(u)); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
	// Others hold at once, for what did not change as well.
	patterns = "/app\n/docs\n.sourceignore\n"
	if diff := cmp.Diff(map[string]string{"logo.png": "kept"}, b.fetch(u)); diff != "" {
		t.Errorf("tree by other patterns (-want +got):\n%s", diff)
	}
	b.push(map[string]string{".sourceignore": "/other\n"})
	patterns = ""
	want := map[string]string{"secret/a": "kept", "logo.png": "kept", "app/c": "kept", "docs/b": "", ".sourceignore": "/other\n"}
	if diff := cmp.Diff(want, b.fetch(u)); diff != "" {
		t.Errorf("tree by another file (-want +got):\n%s", diff)
	}
}

func TestASparseCheckoutHasItsDirectoriesAlone(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{"a/x": "1", "a/b/y": "2", "a/bc": "3", "c/z": "4", "root": "5", ".sourceignore": "/a/b\n", "d/.sourceignore": "no\n", "d/no": "", "d/yes": "6"})
	whole := b.upstream(flux.GitReference{Branch: "main"})
	b.fetch(whole)
	for _, tc := range []struct {
		directories []string
		want        map[string]string
	}{
		{[]string{"./a/b"}, map[string]string{"a/b/y": "2"}}, // the ignore file of the root is not checked out, as in Flux
		{[]string{"c", "a/b/"}, map[string]string{"a/b/y": "2", "c/z": "4"}},
		{[]string{"a"}, map[string]string{"a/x": "1", "a/b/y": "2", "a/bc": "3"}},
		{[]string{"d"}, map[string]string{"d/.sourceignore": "no\n", "d/yes": "6"}},
		{[]string{"."}, map[string]string{"a/x": "1", "a/bc": "3", "c/z": "4", "root": "5", ".sourceignore": "/a/b\n", "d/.sourceignore": "no\n", "d/yes": "6"}},
	} {
		u := b.upstream(flux.GitReference{Branch: "main"})
		u.ID = fmt.Sprint(tc.directories)
		change(&u, func(spec *flux.GitRepository) { spec.SparseCheckout = tc.directories })
		for range 2 { // and again, by what is known then
			if diff := cmp.Diff(tc.want, b.fetch(u)); diff != "" {
				t.Errorf("%v (-want +got):\n%s", tc.directories, diff)
			}
		}
	}
	if got := b.fetch(whole); len(got) != 7 {
		t.Errorf("the whole tree has %d files after sparse ones", len(got))
	}
	u := b.upstream(flux.GitReference{Branch: "main"})
	change(&u, func(spec *flux.GitRepository) { spec.SparseCheckout = []string{"a", "none/x"} })
	if err := b.try(u); source.KindOf(err) != source.KindContent || !strings.Contains(err.Error(), `no directory "none/x"; check spec.sparseCheckout`) {
		t.Errorf("error %v, want that there is no such directory", err)
	}
}
