package source_test

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/test/lab"
)

// BenchmarkOneFileChanged is a commit that changes one of 5,000 files, from asking upstream to a stored Tree.
func BenchmarkOneFileChanged(b *testing.B) {
	server, err := lab.StartGitServer(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = server.Stop() }()
	url, err := server.NewRepo("repo")
	if err != nil {
		b.Fatal(err)
	}
	repo, err := server.Clone(b.Context(), "repo", filepath.Join(b.TempDir(), "work"))
	if err != nil {
		b.Fatal(err)
	}
	for i := range 5000 {
		if err := repo.Write(fmt.Sprintf("apps/%d/%d.yaml", i/50, i), random(1000)+fmt.Sprint(i)); err != nil {
			b.Fatal(err)
		}
	}
	fetcher, err := source.NewGit(source.GitConfig{Dir: b.TempDir(), Store: &artifact.Memory{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer fetcher.Close()
	u := source.Upstream{ID: "x", URL: url, Ref: source.Ref{Branch: "main"}}
	fetch := func() {
		revision, err := fetcher.Resolve(b.Context(), u)
		if err == nil {
			_, err = fetcher.Fetch(b.Context(), u, revision)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	change := func(i int) {
		err := repo.Write("apps/0/0.yaml", fmt.Sprint(i))
		if err == nil {
			_, err = repo.Commit(b.Context(), "change")
		}
		if err == nil {
			err = repo.Push(b.Context())
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	change(-1)
	fetch()
	i := 0
	for b.Loop() {
		b.StopTimer()
		change(i)
		i++
		b.StartTimer()
		fetch()
	}
}
