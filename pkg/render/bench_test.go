package render_test

import (
	"fmt"
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/build"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/render"
)

// BenchmarkUnchanged is a build of the tree that was built before.
func BenchmarkUnchanged(b *testing.B) {
	for _, objects := range []int{4, 100, 1000} {
		for _, overlay := range []bool{false, true} {
			b.Run(fmt.Sprintf("objects=%d/overlay=%t", objects, overlay), func(b *testing.B) {
				pool := start(b, render.Config{Workers: 1})
				job := newJob("a", workloads(objects, overlay))
				job.Path = "app"
				if _, err := pool.Build(b.Context(), job); err != nil {
					b.Fatal(err)
				}
				for b.Loop() {
					if result, err := pool.Build(b.Context(), job); err != nil || len(result.Objects) != objects {
						b.Fatalf("%d objects, %v", len(result.Objects), err)
					}
				}
			})
		}
	}
}

// BenchmarkChanged is a build of a tree of which one file of 1,000 is another than at the build before.
func BenchmarkChanged(b *testing.B) {
	for _, overlay := range []bool{false, true} {
		b.Run(fmt.Sprintf("overlay=%t", overlay), func(b *testing.B) {
			pool := start(b, render.Config{Workers: 1, JobsPerWorker: 1 << 30})
			files := workloads(1000, overlay)
			changed := "base/d500.yaml"
			original := files[changed]
			job := newJob("a", files)
			job.Path = "app"
			if _, err := pool.Build(b.Context(), job); err != nil {
				b.Fatal(err)
			}
			for n := 0; b.Loop(); n++ {
				b.StopTimer()
				files[changed] = strings.Replace(original, "replicas: 2", fmt.Sprintf("replicas: %d", n), 1)
				job := newJob("a", files)
				job.Path = "app"
				b.StartTimer()
				if result, err := pool.Build(b.Context(), job); err != nil || len(result.Objects) != 1000 {
					b.Fatalf("%d objects, %v", len(result.Objects), err)
				}
			}
		})
	}
}

// BenchmarkAsk is what it takes a worker to learn of 1,000 files: their digests alone, and their contents too.
func BenchmarkAsk(b *testing.B) {
	for _, hook := range []string{"digests", "contents"} {
		b.Run(hook, func(b *testing.B) {
			pool := start(b, render.Config{Workers: 1, JobsPerWorker: 1 << 30})
			job := newJob("a", workloads(1000, false))
			for b.Loop() {
				if _, err := pool.BuildHook(b.Context(), job, hook); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkInProcess is a build without a worker, to compare with.
func BenchmarkInProcess(b *testing.B) {
	job := newJob("a", workloads(100, true))
	fsys := artifact.NewFS(job.Tree, func(d fleet.Digest) ([]byte, error) { return job.Blob(b.Context(), d) })
	for b.Loop() {
		if _, err := build.Build(b.Context(), fsys, "app", fleet.BuildSpec{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFreshWorker is a build that has to wait for a process to start and to warm up.
func BenchmarkFreshWorker(b *testing.B) {
	pool := start(b, render.Config{Workers: 1, JobsPerWorker: 1})
	job := newJob("a", workloads(4, true))
	job.Path = "app"
	for b.Loop() {
		if _, err := pool.Build(b.Context(), job); err != nil {
			b.Fatal(err)
		}
	}
}

func workloads(objects int, overlay bool) map[string]string {
	var list strings.Builder
	files := map[string]string{}
	for i := range objects {
		name := fmt.Sprintf("d%d.yaml", i)
		fmt.Fprintf(&list, "- %s\n", name)
		files["base/"+name] = fmt.Sprintf("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web-%[1]d, labels: {app: web-%[1]d}}\n"+
			"spec:\n  replicas: 2\n  selector: {matchLabels: {app: web-%[1]d}}\n  template:\n    metadata: {labels: {app: web-%[1]d}}\n"+
			"    spec: {containers: [{name: web, image: 'registry.example.com/web:v1', ports: [{containerPort: 8080}]}]}\n", i)
	}
	files["base/kustomization.yaml"] = "resources:\n" + list.String()
	files["app/kustomization.yaml"] = "resources: [../base]\n"
	if overlay {
		files["app/kustomization.yaml"] += "namespace: prod\nnamePrefix: p-\nlabels: [{pairs: {env: prod}}]\nimages: [{name: registry.example.com/web, newTag: v2}]\n"
	}
	return files
}
