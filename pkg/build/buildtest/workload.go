package buildtest

import (
	"fmt"
	"strings"
)

// Workload is a tree of so many objects for benchmarks, one a file: Deployments, the ConfigMaps and ServiceAccounts that
// these name, and Services. Dir takes all from a base, as it is or with an overlay's changes.
func Workload(objects int, overlay bool) Tree {
	t := Tree{Files: map[string]string{}}
	var list strings.Builder
	for i := range objects {
		fmt.Fprintf(&list, "- o%05d.yaml\n", i)
		t.Files[workloadFile(i)] = fmt.Sprintf(workloadObjects[i%len(workloadObjects)], i/len(workloadObjects))
	}
	t.Files["base/kustomization.yaml"] = "resources:\n" + list.String()
	t.Files[Dir+"/kustomization.yaml"] = "resources: [../base]\n"
	if overlay {
		t.Files[Dir+"/kustomization.yaml"] += "namespace: prod\nnamePrefix: p-\nlabels: [{pairs: {env: prod}, includeSelectors: true}]\nimages: [{name: registry.example.com/web, newTag: v2}]\n"
	}
	return t
}

// Touch changes a ConfigMap of a Workload: nothing that others name.
func (t Tree) Touch(version int) {
	t.Files[workloadFile(1)] = fmt.Sprintf(workloadObjects[1], 0) + fmt.Sprintf("  version: v%d\n", version)
}

func workloadFile(i int) string { return fmt.Sprintf("base/o%05d.yaml", i) }

// workloadObjects are about what people have; the number makes their names.
var workloadObjects = []string{
	`apiVersion: apps/v1
kind: Deployment
metadata:
  name: web-%[1]d
  labels: {app: web-%[1]d}
spec:
  replicas: 2
  selector:
    matchLabels: {app: web-%[1]d}
  template:
    metadata:
      labels: {app: web-%[1]d}
    spec:
      serviceAccountName: web-%[1]d
      containers:
      - name: web
        image: registry.example.com/web:v1
        args: [--listen, ":8080"]
        envFrom:
        - configMapRef: {name: web-%[1]d}
        ports:
        - {name: http, containerPort: 8080}
        resources:
          requests: {cpu: 50m, memory: 64Mi}
          limits: {memory: 128Mi}
`,
	`apiVersion: v1
kind: ConfigMap
metadata:
  name: web-%[1]d
data:
  LEVEL: info
  URL: https://example.com/web-%[1]d
`,
	`apiVersion: v1
kind: Service
metadata:
  name: web-%[1]d
spec:
  selector: {app: web-%[1]d}
  ports:
  - {name: http, port: 80, targetPort: http}
`,
	`apiVersion: v1
kind: ServiceAccount
metadata:
  name: web-%[1]d
  annotations: {team: shop}
`,
}
