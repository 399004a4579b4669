package helm

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	repo "helm.sh/helm/v4/pkg/repo/v1"
)

// largeIndex has 20,000 versions, about what the largest public ones have.
func largeIndex() []byte {
	var text strings.Builder
	text.WriteString("apiVersion: v1\nentries:\n")
	for chart := range 100 {
		fmt.Fprintf(&text, "  chart-%d:\n", chart)
		for version := range 200 {
			fmt.Fprintf(&text, `  - annotations:
      category: Infrastructure
      images: |
        - name: app
          image: docker.io/example/app:%[2]d
    apiVersion: v2
    appVersion: "%[2]d"
    created: "2024-01-01T00:00:00Z"
    dependencies:
    - name: common
      repository: oci://registry.example.com/charts
      version: 2.x.x
    description: A chart that is described in a sentence of about this length.
    digest: 99c76e403d752c84ead610644d4b1c2f2b453a74b921f422b9dcb8a7c8b559cd
    home: https://example.com
    keywords:
    - one
    - two
    maintainers:
    - name: Somebody
      url: https://example.com
    name: chart-%[1]d
    urls:
    - https://charts.example.com/chart-%[1]d-1.%[2]d.0.tgz
    version: 1.%[2]d.0
`, chart, version)
		}
	}
	return []byte(text.String())
}

// BenchmarkIndex reads an index here, and as helm does, in the same run.
func BenchmarkIndex(b *testing.B) {
	data := largeIndex()
	name := b.TempDir() + "/index.yaml"
	if err := os.WriteFile(name, data, 0o600); err != nil {
		b.Fatal(err)
	}
	b.Run("by=parts", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			x, err := parseIndex(b.Context(), data, nil)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(x.size)/(1<<20), "kept-MiB")
		}
	})
	before, err := parseIndex(b.Context(), data, nil)
	if err != nil {
		b.Fatal(err)
	}
	changed := bytes.Replace(data, []byte("    version: 1.7.0\n"), []byte("    version: 1.7.1\n"), 1)
	b.Run("by=changes", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			if _, err := parseIndex(b.Context(), changed, before); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("by=helm", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			if _, err := repo.LoadIndexFile(name); err != nil {
				b.Fatal(err)
			}
		}
	})
}
