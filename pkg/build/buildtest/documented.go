package buildtest

import (
	"embed"
	"path"
	"strings"
)

// Each file is a tree: a line that says what of kustomize's documentation it is about, and its files after lines with
// their names.
//
//go:embed documented/*.txt
var documented embed.FS

// Documented are trees for the features that kustomize documents, by name.
func Documented() map[string]Tree {
	out := map[string]Tree{}
	entries, err := documented.ReadDir("documented")
	if err != nil {
		panic(err) // it is part of the program
	}
	for _, entry := range entries {
		text, err := documented.ReadFile("documented/" + entry.Name())
		if err != nil {
			panic(err)
		}
		out[strings.TrimSuffix(path.Base(entry.Name()), ".txt")] = parse(string(text))
	}
	return out
}

// parse reads what String writes, but for the spec.
func parse(text string) Tree {
	t := Tree{Files: map[string]string{}}
	name := ""
	for line := range strings.Lines(text) {
		if inner, is := strings.CutPrefix(strings.TrimSuffix(line, " --\n"), "-- "); is && strings.HasSuffix(line, " --\n") {
			name = inner
			t.Files[name] = ""
		} else if name != "" {
			t.Files[name] += line
		}
	}
	return t
}
