package encode_test

import (
	"testing"
	"time"

	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/kyaml/yaml"

	"flotilla.dev/flotilla/pkg/build/encode"
)

const deployment = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: prod
  labels: {app: web, app.kubernetes.io/part-of: shop}
spec:
  replicas: 3
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
      - name: web
        image: ghcr.io/acme/web:v1.2.3
        args: ["--port=8080", "-v"]
        ports:
        - containerPort: 8080
        env:
        - name: DEBUG
          value: "true" # a string
        resources:
          requests: {cpu: 100m, memory: 128Mi}
      volumes:
      - name: settings
        configMap: {name: settings}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
data:
  app.conf: |
    colour=blue
    size=3
  PORT: "8080"
---
apiVersion: v1
kind: Service
metadata:
  name: web
spec:
  selector: {app: web}
  ports:
  - {name: http, port: 80, targetPort: 8080}
`

// x is how many times as long kustomize takes for the same three objects in the same run.
func BenchmarkDocument(b *testing.B) {
	nodes := objects([]byte(deployment))
	var direct, asYAML time.Duration
	for b.Loop() {
		began := time.Now()
		for _, node := range nodes {
			if _, sure := encode.Document(node); !sure {
				b.Fatal("not printed directly")
			}
		}
		direct += time.Since(began)
		began = time.Now()
		for _, node := range nodes {
			if _, err := (&resource.Resource{RNode: *node}).AsYAML(); err != nil {
				b.Fatal(err)
			}
		}
		asYAML += time.Since(began)
	}
	b.ReportMetric(float64(direct)/float64(b.N), "ns/op")
	b.ReportMetric(float64(asYAML)/float64(direct), "x")
}

func TestDocumentAllocatesLittle(t *testing.T) {
	node := yaml.MustParse(objectText(t))
	if allocations := testing.AllocsPerRun(100, func() { encode.Document(node) }); allocations > 4 {
		t.Errorf("%.0f allocations, want a few at most", allocations)
	}
}

func objectText(t *testing.T) string {
	t.Helper()
	nodes := objects([]byte(deployment))
	if len(nodes) != 3 {
		t.Fatalf("%d objects", len(nodes))
	}
	return nodes[0].MustString()
}
