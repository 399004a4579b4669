package buildtest

import (
	"maps"
	"path"
	"slices"
	"strings"

	"pgregory.net/rapid"
)

// Edited generates trees that have one file changed, as by a commit.
func (t Tree) Edited() *rapid.Generator[Tree] {
	return rapid.Custom(func(r *rapid.T) Tree {
		d := newDrawer(r)
		names := slices.Sorted(maps.Keys(t.Files))
		name := names[d.upTo(len(names))]
		edited := Tree{Files: maps.Clone(t.Files), Spec: t.Spec, Flaw: t.Flaw}
		edited.Files[name] = d.edit(name, t.Files[name])
		return edited
	})
}

// edit changes a file so that most trees can still be built.
func (d *drawer) edit(name, content string) string {
	for _, word := range []string{"nginx", "value", "team", "prod", "blue", "8080"} {
		if strings.Contains(content, word) && d.chance(70) {
			return strings.Replace(content, word, "edited", 1)
		}
	}
	end := ""
	if !strings.HasSuffix(content, "\n") {
		end = "\n"
	}
	switch ext := path.Ext(name); {
	case ext == ".env":
		return content + end + "EDITED=1\n"
	case ext == ".txt", ext == ".conf":
		return content + "edited\n"
	case strings.Contains(strings.ToLower(name), "kustomization"):
		return content + end + "# edited\n"
	}
	return content + end + "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + d.pick("edited", "web") + "}\n"
}
