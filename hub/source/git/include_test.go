package git_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

func TestOtherRepositoriesAreIncluded(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{"a.yaml": "1", "dir/b": "2"})
	u := including(b.upstream(flux.GitReference{Branch: "main"}),
		flux.GitInclude{Repository: flux.SecretRef{Name: "one"}},
		flux.GitInclude{Repository: flux.SecretRef{Name: "two"}, FromPath: "./deploy", ToPath: "dir/two/"})
	u.Inputs = []source.Input{
		b.stored(0, "one", map[string]string{"x": "3", "y/z": "4"}),
		b.stored(1, "two", map[string]string{"deploy/c": "5", "deploy/d/e": "6", "other": "7"}),
	}
	puts := b.store.puts()
	want := map[string]string{"a.yaml": "1", "dir/b": "2", "one/x": "3", "one/y/z": "4", "dir/two/c": "5", "dir/two/d/e": "6"}
	if diff := cmp.Diff(want, b.fetch(u)); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
	if got := b.store.puts() - puts; got != 2 {
		t.Errorf("%d blobs were put, want the repository's own two", got)
	}
	before := b.resolve(u)
	got, err := b.fetcher.Fetch(t.Context(), named(u), before)
	if err != nil || len(got.Detail.Included) != 2 || got.Detail.Included[1] != (fleet.IncludedArtifact{Name: "two", Revision: "main@sha1:x", Tree: u.Inputs[1].Tree}) {
		t.Errorf("detail %+v, error %v", got, err)
	}
	u.Inputs[0] = b.stored(0, "one", map[string]string{"x": "8"})
	if after := b.resolve(u); after.Inputs == before.Inputs || after.Inputs.IsZero() || after.Revision != before.Revision {
		t.Errorf("found %v, and %v with another input", before, after)
	}
	if got := b.fetch(u); got["one/x"] != "8" || got["one/y/z"] != "" {
		t.Errorf("tree %v with another input", got)
	}
}

func TestIncludesThatCannotBeSayWhy(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{"a.yaml": "1", "dir/b": "2"})
	one := b.stored(0, "one", map[string]string{"x": "3", "y/z": "4"})
	nothing := source.Input{Field: "include[0].repository", Name: "one"}
	for name, tc := range map[string]struct {
		include flux.GitInclude
		inputs  []source.Input
		kind    source.Kind
		want    string
	}{
		"not declared":        {flux.GitInclude{}, nil, source.KindInput, "there is no GitRepository one in the namespace"},
		"nothing yet":         {flux.GitInclude{}, []source.Input{nothing}, source.KindInput, "GitRepository one has no artifact yet"},
		"no such directory":   {flux.GitInclude{FromPath: "none"}, []source.Input{one}, source.KindInput, "spec.include[0].fromPath: GitRepository one has no directory none at main@sha1:x"},
		"a file":              {flux.GitInclude{FromPath: "x"}, []source.Input{one}, source.KindInput, "has no directory x"},
		"over a file":         {flux.GitInclude{ToPath: "a.yaml"}, []source.Input{one}, source.KindContent, "spec.include[0].toPath: a.yaml is there already"},
		"over a directory":    {flux.GitInclude{ToPath: "dir"}, []source.Input{one}, source.KindContent, "is there already"},
		"below a file":        {flux.GitInclude{ToPath: "a.yaml/x"}, []source.Input{one}, source.KindContent, "is there already"},
		"over all":            {flux.GitInclude{ToPath: "."}, []source.Input{one}, source.KindContent, "is there already"},
		"out of the tree":     {flux.GitInclude{ToPath: "../x"}, []source.Input{one}, source.KindInvalid, "leads out of the repository"},
		"from out of another": {flux.GitInclude{FromPath: "../../etc"}, []source.Input{one}, source.KindInvalid, "leads out of the repository"},
	} {
		tc.include.Repository.Name = "one"
		u := including(b.upstream(flux.GitReference{Branch: "main"}), tc.include)
		u.Inputs = tc.inputs
		if err := b.try(u); source.KindOf(err) != tc.kind || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %s error %v; want %s with %q", name, source.KindOf(err), err, tc.kind, tc.want)
		}
	}
}

func TestTheDetailRepeatsWhatTheArtifactWasMadeBy(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{"a/b": "1"})
	u := b.recursive()
	patterns := "x"
	change(&u, func(spec *flux.GitRepository) {
		spec.Ignore, spec.SparseCheckout = &patterns, []string{"./a"}
		spec.Include = []flux.GitInclude{{Repository: flux.SecretRef{Name: "one"}, ToPath: "y"}}
	})
	u.Inputs = []source.Input{b.stored(0, "one", map[string]string{"x/y": "3"})}
	got, err := b.fetcher.Fetch(t.Context(), named(u), b.resolve(u))
	if err != nil {
		t.Fatal(err)
	}
	var observed, want any
	_ = json.Unmarshal([]byte(`{"observedIgnore":"x","observedRecurseSubmodules":true,"observedInclude":[{"repository":{"name":"one"},"toPath":"y"}],"observedSparseCheckout":["./a"]}`), &want)
	if err := json.Unmarshal(got.Detail.Observed, &observed); err != nil || !cmp.Equal(observed, want) || got.Detail.Size != 1 {
		t.Errorf("detail %s of %d bytes, error %v", got.Detail.Observed, got.Detail.Size, err)
	}
}

// stored is an input whose Tree has these files.
func (b *bundle) stored(i int, name string, files map[string]string) source.Input {
	b.t.Helper()
	blobs := map[fleet.Digest][]byte{}
	var list []artifact.File
	for path, content := range files {
		digest := fleet.DigestOf([]byte(content))
		blobs[digest] = []byte(content)
		list = append(list, artifact.File{Path: path, Digest: digest, Size: int64(len(content))})
	}
	tree, err := artifact.NewTree(list)
	if err == nil {
		err = b.store.Put(b.t.Context(), blobs)
	}
	nodes := tree.Nodes()
	if err == nil {
		err = b.store.PutNodes(b.t.Context(), nodes)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return source.Input{Field: fmt.Sprintf("include[%d].repository", i), Name: name, Revision: "main@sha1:x", Tree: tree.Digest(), TreeBlob: nodes[len(nodes)-1].Digest}
}

func including(u source.Upstream, includes ...flux.GitInclude) source.Upstream {
	change(&u, func(spec *flux.GitRepository) { spec.Include = includes })
	return u
}
