package release

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/build"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/manifest"
)

// recipe names all that an App's Manifest follows from, but for the files: whatever else comes to change a Manifest
// belongs here. The App's namespace is a part of it though it changes nothing: it is the tenant whose input the builder
// runs on, and what one tenant's input made of a builder must not reach another tenant.
func recipe(app declaredApp) fleet.Digest {
	switch spec := app.spec.(type) {
	case flux.Kustomization:
		return objectsRecipe(app, spec)
	case flux.HelmRelease:
		return chartRecipe(app, spec)
	}
	return named([]byte("nobody's"), []byte(app.Key.String())) // which the build tells
}

func objectsRecipe(app declaredApp, spec flux.Kustomization) fleet.Digest {
	objects, err := json.Marshal(manifest.OptionsOf(spec.ReleaseSpec))
	if err != nil {
		panic(fmt.Sprintf("encode options: %v", err)) // strings and booleans always encode
	}
	return named([]byte("recipe"), []byte(app.Key.Namespace), []byte(build.Version), []byte(spec.GetPath()), spec.BuildSpec.Encode(), objects)
}

// attempt names a build before it is known what it will look at: a recipe on a whole Tree.
func attempt(app declaredApp) fleet.Digest {
	if app.lacks() != nil {
		return named([]byte("lacking"), []byte(app.Key.String()))
	}
	tree := recipe(app)
	return named([]byte("attempt"), tree[:], app.source.state.Tree[:])
}

// keyOf names a build by its whole input: the recipe, and what is in the Tree of all that the build looks at.
func keyOf(app declaredApp, tree *artifact.Tree, inputs []string) fleet.Digest {
	files, all := build.Key(tree, inputs), recipe(app)
	return named([]byte("build"), all[:], files[:])
}

// named is the digest of parts, each of which has its length before it.
func named(parts ...[]byte) fleet.Digest {
	var text []byte
	for _, part := range parts {
		text = append(binary.AppendUvarint(text, uint64(len(part))), part...)
	}
	return fleet.DigestOf(text)
}
