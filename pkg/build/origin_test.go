package build_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What is wanted here was printed by fluxcd/pkg/kustomize v1.41.0: its generator has kustomize say where objects come
// from when the kustomization file at the top lists no resources, and then nothing else.
func TestObjectsSayTheirOriginAsWithFlux(t *testing.T) {
	t.Parallel()
	files := tree(map[string]string{
		"base/kustomization.yaml": "resources: [a.yaml]\n",
		"base/a.yaml":             "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  annotations: {kept: \"yes\"}\n",
		"comp/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: [c.yaml]\nconfigMapGenerator:\n- {name: gc, literals: [x=y]}\n",
		"comp/c.yaml":             "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c\n",
		"gen/kustomization.yml": "configMapGenerator:\n- name: g\n  literals: [a=b]\n" +
			"secretGenerator:\n- name: s\n  literals: [a=b]\n  options: {disableNameSuffixHash: true}\n",
		"overlay/kustomization.yaml": "components: [../comp]\nnamePrefix: p-\n",
		"bases/kustomization.yaml": "# comment\nbases: [../base]\ncommonLabels: {x: \"1\"}\npatchesStrategicMerge:\n- |-\n" +
			"  apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: a}\n  data: {p: q}\n",
		"own/kustomization.yaml":    "buildMetadata: [managedByLabel, transformerAnnotations]\nbases: [../base]\nnamePrefix: x-\n",
		"mix/kustomization.yaml":    "resources: [../base]\nconfigMapGenerator:\n- {name: g, literals: [a=b]}\n",
		"nested/kustomization.yaml": "resources: [../gen]\n",
		"asked/kustomization.yaml":  "buildMetadata: [originAnnotations]\nresources: [../base]\n",
	})
	for dir, want := range map[string]string{
		"overlay": `apiVersion: v1
kind: ConfigMap
metadata:
  annotations:
    config.kubernetes.io/origin: |
      path: ../comp/c.yaml
  name: p-c
---
apiVersion: v1
data:
  x: "y"
kind: ConfigMap
metadata:
  annotations:
    config.kubernetes.io/origin: |
      configuredIn: ../comp/kustomization.yaml
      configuredBy:
        apiVersion: builtin
        kind: ConfigMapGenerator
  name: p-gc-6gc9d749f7
`,
		"bases": `apiVersion: v1
data:
  p: q
kind: ConfigMap
metadata:
  annotations:
    config.kubernetes.io/origin: |
      path: ../base/a.yaml
    kept: "yes"
  labels:
    x: "1"
  name: a
`,
		"gen": `apiVersion: v1
data:
  a: b
kind: ConfigMap
metadata:
  annotations:
    config.kubernetes.io/origin: |
      configuredIn: kustomization.yml
      configuredBy:
        apiVersion: builtin
        kind: ConfigMapGenerator
  name: g-4h2mbtbbt6
---
apiVersion: v1
data:
  a: Yg==
kind: Secret
metadata:
  annotations:
    config.kubernetes.io/origin: |
      configuredIn: kustomization.yml
      configuredBy:
        apiVersion: builtin
        kind: SecretGenerator
  name: s
type: Opaque
`,
		"own": `apiVersion: v1
kind: ConfigMap
metadata:
  annotations:
    config.kubernetes.io/origin: |
      path: ../base/a.yaml
    kept: "yes"
  name: x-a
`,
		"mix": `apiVersion: v1
kind: ConfigMap
metadata:
  annotations:
    kept: "yes"
  name: a
---
apiVersion: v1
data:
  a: b
kind: ConfigMap
metadata:
  name: g-4h2mbtbbt6
`,
		"nested": `apiVersion: v1
data:
  a: b
kind: ConfigMap
metadata:
  name: g-4h2mbtbbt6
---
apiVersion: v1
data:
  a: Yg==
kind: Secret
metadata:
  name: s
type: Opaque
`,
		"asked": `apiVersion: v1
kind: ConfigMap
metadata:
  annotations:
    config.kubernetes.io/origin: |
      path: ../base/a.yaml
    kept: "yes"
  name: a
`,
	} {
		if diff := cmp.Diff(want, strings.Join(mustBuild(t, files, dir), "---\n")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", dir, diff)
		}
	}
}
