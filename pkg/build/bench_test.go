package build_test

import (
	"fmt"
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/build"
	"flotilla.dev/flotilla/pkg/fleet"
)

func BenchmarkBuild(b *testing.B) {
	for _, objects := range []int{4, 100, 1000} {
		b.Run(fmt.Sprintf("objects=%d", objects), func(b *testing.B) {
			var list strings.Builder
			files := map[string]string{}
			for i := range objects {
				fmt.Fprintf(&list, "- d%d.yaml\n", i)
				files[fmt.Sprintf("d%d.yaml", i)] = configMap(fmt.Sprint("c", i)) + "data: {a: b}\n"
			}
			files["kustomization.yaml"] = "resources:\n" + list.String()
			fsys := tree(files)
			for b.Loop() {
				if got, err := build.Build(b.Context(), fsys, ".", fleet.BuildSpec{}); err != nil || len(got) != objects {
					b.Fatalf("%d objects, %v", len(got), err)
				}
			}
		})
	}
}
