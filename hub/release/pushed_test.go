package release_test

import (
	"bytes"
	"testing"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/artifact/artifacttest"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

// pushArtifact does what the API does with an archive.
func (b *bundle) pushArtifact(name, revision string, files map[string]string) {
	b.t.Helper()
	tree, err := artifact.Unpack(b.t.Context(), b.Blobs(), bytes.NewReader(artifacttest.Archive(files)), artifact.ExtractLimits{}, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	nodes := tree.Nodes()
	if err := b.Blobs().PutNodes(b.t.Context(), nodes); err != nil {
		b.t.Fatal(err)
	}
	object, err := resource.Decode([]byte(`{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":"ExternalArtifact","metadata":{"name":"` + name + `","namespace":"apps"},"spec":{}}`))
	if err != nil {
		b.t.Fatal(err)
	}
	pushed := fleet.Pushed{Revision: fleet.Revision(revision), Tree: tree.Digest(), TreeBlob: nodes[len(nodes)-1].Digest, Files: len(tree.Files)}
	if _, _, err := b.PushArtifact(b.t.Context(), admin, object, pushed, false); err != nil {
		b.t.Fatal(err)
	}
}

func TestAppIsBuiltFromWhatIsPushedAndAgainWhenThatMoves(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(`{"apiVersion":"kustomize.toolkit.fluxcd.io/v1","kind":"Kustomization","metadata":{"name":"app","namespace":"apps"},"spec":{"interval":"10m","prune":true,"path":"./deploy","sourceRef":{"kind":"ExternalArtifact","name":"made"}}}`)
	b.eventually("app", failing("ExternalArtifact"))
	b.pushArtifact("made", "v1@sha256:1", map[string]string{"deploy/a.yaml": configMapText("1")})
	first := b.eventually("app", at("v1@sha256:1"))
	b.pushArtifact("made", "v1@sha256:2", map[string]string{"deploy/a.yaml": configMapText("2")})
	second := b.eventually("app", at("v1@sha256:2"))
	if first.Release == second.Release {
		t.Errorf("both are %s", first.Release)
	}
	b.pushArtifact("made", "v1@sha256:3", map[string]string{"other/a.yaml": configMapText("3")})
	if broken := b.eventually("app", failing("deploy")); broken.Release != second.Release {
		t.Errorf("what does not build changed the release to %s", broken.Release)
	}
}

func configMapText(value string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: \"" + value + "\"}\n"
}
