package main

import (
	"context"
	"embed"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

//go:embed app
var embedded embed.FS

// app is the repository's first commit.
var app fs.FS = embedded

//go:embed fleet.yaml
var fleetTemplate string

// namespace is where the declared objects are.
const namespace = "apps"

// makeRepo makes the repository, its clone, and the first commit.
func (d *demo) makeRepo(ctx context.Context) error {
	url, err := d.fleet.Git.NewRepo("app")
	if err != nil {
		return err
	}
	if d.repo, err = d.fleet.Git.Clone(ctx, "app", filepath.Join(d.dir, "repo")); err != nil {
		return err
	}
	for _, setting := range [][]string{
		// Commits need an author, which a new machine has not set.
		{"user.name", "Flotilla demo"}, {"user.email", "demo@flotilla.dev"},
		// Pushes go to loopback, whatever proxy the machine has.
		{"http.proxy", ""},
	} {
		if _, err := d.repo.Git(ctx, "config", setting[0], setting[1]); err != nil {
			return err
		}
	}
	err = fs.WalkDir(app, "app", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(app, path)
		if err != nil {
			return err
		}
		return d.repo.Write(strings.TrimPrefix(path, "app/"), string(content))
	})
	if err != nil {
		return err
	}
	if d.commit, err = d.repo.Commit(ctx, "Greet the fleet"); err != nil {
		return err
	}
	if err := d.repo.Push(ctx); err != nil {
		return err
	}
	d.out.say("Git: commit %s pushed to %s", d.commit[:8], url)
	return nil
}

// writeFleet writes the declared objects to a file.
func (d *demo) writeFleet(path string) error {
	t, err := template.New("fleet").Parse(fleetTemplate)
	if err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := t.Execute(file, struct{ URL string }{d.fleet.Git.URL("app")}); err != nil {
		_ = file.Close()
		return err
	}
	return file.Close()
}
