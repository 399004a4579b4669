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

func BenchmarkBuild(b *testing.B) {
	for _, objects := range []int{4, 100, 1000} {
		for _, overlay := range []bool{false, true} {
			b.Run(fmt.Sprintf("objects=%d/overlay=%t", objects, overlay), func(b *testing.B) {
				pool := start(b, render.Config{Workers: 1})
				job := newJob("a", workloads(objects, overlay))
				job.Path = "app"
				for b.Loop() {
					if result, err := pool.Build(b.Context(), job); err != nil || len(result.Objects) != objects {
						b.Fatalf("%d objects, %v", len(result.Objects), err)
					}
				}
			})
		}
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
