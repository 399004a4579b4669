package engine_test

import (
	"bytes"
	"fmt"
	"maps"
	"strings"
	"testing"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"flotilla.dev/flotilla/pkg/build/engine"
	"flotilla.dev/flotilla/pkg/fleet"
)

// BenchmarkBuild builds plain directories and overlays of Deployments, ConfigMaps and Services, by kustomize, by an
// engine that has built nothing yet, and by one that has built the same with another content of one file.
func BenchmarkBuild(b *testing.B) {
	for _, shape := range []string{"plain", "overlay"} {
		for _, objects := range []int{100, 1000, 5000} {
			files := benchTree(objects, shape == "overlay")
			name := fmt.Sprintf("%s/objects=%d", shape, objects)
			b.Run(name+"/kustomize", func(b *testing.B) {
				fsys := fsOf(files)
				b.ReportAllocs()
				for b.Loop() {
					if _, err := kustomize(fsys, "/app"); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run(name+"/cold", func(b *testing.B) {
				fsys := fsOf(files)
				b.ReportAllocs()
				for b.Loop() {
					mustBuild(b, engine.New(1<<30), fsys, objects)
				}
			})
			b.Run(name+"/changed", func(b *testing.B) {
				e, fsys := engine.New(1<<30), digestsOf(files)
				mustBuild(b, e, fsys, objects)
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					fsys.change(b, "/base/o1.yaml", strings.ReplaceAll(files["/base/o1.yaml"], "a: b", fmt.Sprintf("a: c%d", i)))
					mustBuild(b, e, fsys, objects)
				}
			})
			b.Run(name+"/unchanged", func(b *testing.B) {
				e, fsys := engine.New(1<<30), digestsOf(files)
				mustBuild(b, e, fsys, objects)
				b.ReportAllocs()
				for b.Loop() {
					mustBuild(b, e, fsys, objects)
				}
			})
		}
	}
}

func mustBuild(b *testing.B, e *engine.Engine, fsys filesys.FileSystem, objects int) {
	b.Helper()
	documents, err := e.Build(b.Context(), fsys, "/app")
	if err != nil || len(documents) != objects {
		b.Fatalf("%d objects, %v", len(documents), err)
	}
}

// benchTree has as many objects, a third of them Deployments that refer to the ConfigMaps.
func benchTree(objects int, overlay bool) map[string]string {
	files := map[string]string{}
	var list strings.Builder
	for i := range objects {
		name := fmt.Sprintf("/base/o%d.yaml", i)
		fmt.Fprintf(&list, "- o%d.yaml\n", i)
		switch i % 3 {
		case 0:
			files[name] = fmt.Sprintf(benchDeployment, i, i+1)
		case 1:
			files[name] = fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c%d\ndata:\n  a: b\n  url: http://x\n", i)
		default:
			files[name] = fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata:\n  name: s%d\nspec:\n  selector:\n    app: d%d\n  ports:\n  - port: 80\n    targetPort: http\n", i, i-2)
		}
	}
	files["/base/kustomization.yaml"] = "resources:\n" + list.String()
	files["/app/kustomization.yaml"] = "resources: [../base]\n"
	if overlay {
		files["/app/kustomization.yaml"] += "namespace: team\nnamePrefix: p-\nlabels: [{pairs: {team: a}, includeSelectors: true}]\nimages: [{name: ghcr.io/acme/web, newTag: v2}]\n"
	}
	return files
}

const benchDeployment = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: d%d
  labels:
    app: web
spec:
  replicas: 1
  selector:
    matchLabels:
      app: web
  template:
    metadata:
      labels:
        app: web
    spec:
      containers:
      - name: web
        image: ghcr.io/acme/web:v1
        envFrom:
        - configMapRef:
            name: c%d
        ports:
        - containerPort: 8080
          name: http
        resources:
          limits: {cpu: 100m, memory: 64Mi}
`

// digests is a file system that knows its files' digests, as that of a source's Tree does.
type digests struct {
	filesys.FileSystem
	known map[string]fleet.Digest
}

func digestsOf(files map[string]string) digests {
	d := digests{fsOf(files), map[string]fleet.Digest{}}
	for name, content := range files {
		d.known[name] = fleet.DigestOf([]byte(content))
	}
	return d
}

func (d digests) Digest(name string) (fleet.Digest, bool) {
	digest, known := d.known[name]
	return digest, known
}

func (d digests) change(b *testing.B, name, content string) {
	b.Helper()
	if err := d.WriteFile(name, []byte(content)); err != nil {
		b.Fatal(err)
	}
	d.known[name] = fleet.DigestOf([]byte(content))
}

func fsOf(files map[string]string) filesys.FileSystem {
	fsys := filesys.MakeFsInMemory()
	for name, content := range files {
		if err := fsys.WriteFile(name, []byte(content)); err != nil {
			panic(err)
		}
	}
	return fsys
}

func kustomize(fsys filesys.FileSystem, dir string) (documents [][]byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	m, err := krusty.MakeKustomizer(&krusty.Options{LoadRestrictions: types.LoadRestrictionsNone, PluginConfig: types.DisabledPluginConfig()}).Run(fsys, dir)
	if err != nil {
		return nil, err
	}
	for _, r := range m.Resources() {
		document, err := r.AsYAML()
		if err != nil {
			return nil, err
		}
		documents = append(documents, document)
	}
	return documents, nil
}

func TestTheBenchmarksTreesAreBuiltAsByKustomize(t *testing.T) {
	t.Parallel()
	for _, overlay := range []bool{false, true} {
		files := maps.Clone(benchTree(90, overlay))
		want, err := kustomize(fsOf(files), "/app")
		if err != nil {
			t.Fatal(err)
		}
		got, err := engine.New(1<<20).Build(t.Context(), fsOf(files), "/app")
		if err != nil {
			t.Fatal(err)
		}
		if g, w := bytes.Join(got, []byte("---\n")), bytes.Join(want, []byte("---\n")); !bytes.Equal(g, w) {
			t.Errorf("got %s\nwant %s", g, w)
		}
	}
}
