package git

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/flux"
)

// Whatever a server lists: what is followed is one of its refs, at a commit, and a name that may be shown and asked for.
func FuzzListedRefs(f *testing.F) {
	line := func(text string) string { return fmt.Sprintf("%04x%s", len(text)+4, text) }
	commit, other := strings.Repeat("1", 40), strings.Repeat("2", 40)
	f.Add([]byte(line(commit+" HEAD\x00symref=HEAD:refs/heads/main\n")+line(commit+" refs/heads/main\n")+line(other+" refs/tags/v1.0.0\n")+line(commit+" refs/tags/v1.0.0^{}\n")+"0000"), "main", "1.x", commit)
	f.Add([]byte(line(commit+" refs/tags/v9.0.0/../../x\x00\n")+line(commit+" refs/tags/v9.0.1\x1b[31m\n")+line(commit+" ../../config\n")+"0000"), "../../config", "*", other)
	f.Add([]byte(line(strings.Repeat("0", 40)+" capabilities^{}\x00\n")+"0000"), "", ">=0.0.0-0", "")
	f.Add([]byte(line(commit+" refs/heads/main\x00\n")+line(commit+" refs/tags/v9.0.5+a.lock\n")+line(commit+" refs/tags/v9.0.4\n")+"0000"), "main", "*", commit)
	f.Add([]byte(line(commit+" refs/heads/main\x00\n")+line(commit+" refs/tags/v1.0.0\n")+line(strings.Repeat("0", 40)+" refs/tags/v1.0.0^{}\n")+"0000"), "v1.0.0", "*", commit)
	f.Add([]byte(line(commit+" refs/tags/v1.0.0^{}\x00\n")+"0000"), "v1.0.0", "1.0.0", commit)
	f.Fuzz(func(t *testing.T, data []byte, branch, versions, wanted string) {
		advertised, err := (&sshChannel{ReadCloser: io.NopCloser(bytes.NewReader(data))}).refs()
		if err != nil {
			return
		}
		list := &listing{refs: advertised.References, peeled: advertised.Peeled, capabilities: advertised.Capabilities}
		for _, spec := range []flux.GitReference{{}, {Branch: branch}, {Tag: branch}, {Name: branch}, {SemVer: versions}} {
			u := source.Upstream{URL: "https://git.example.com/a", Remote: "a", Kind: "GitRepository", Spec: flux.GitRepository{Ref: &spec}}
			names, err := list.find(u)
			if err != nil {
				continue
			}
			if len(names) == 0 || len(names) > maxTies {
				t.Errorf("%+v: %d refs are meant", spec, len(names))
			}
			for _, name := range names {
				at := list.commit(name)
				if at.IsZero() {
					t.Errorf("%+v: %q is at no commit", spec, name)
				}
				if spec.SemVer != "" && flux.RefProblem(name) != "" {
					t.Errorf("%+v: %q is chosen, which is no name of a ref", spec, name)
				}
				if got, err := commitOf(refOf(u).revision(name, at.String())); err != nil || got != at.String() {
					t.Errorf("%+v: the revision of %q is of commit %q, %v; want %s", spec, name, got, err, at)
				}
			}
			for _, want := range list.wanted(u, plumbing.NewHash(wanted)) {
				if want != plumbing.NewHash(wanted) && !slices.Contains(slices.Collect(maps.Values(list.refs)), want) {
					t.Errorf("%+v: %s is asked for, which is not listed", spec, want)
				}
			}
		}
	})
}
