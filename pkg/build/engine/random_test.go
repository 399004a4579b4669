package engine_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"flotilla.dev/flotilla/pkg/build/engine"
)

// Every tree is built by two engines that all cases share, one of which has hardly room to keep anything; then again with
// another content of a file.
func TestEngineBuildsWhatKustomizeBuildsOrDoubts(t *testing.T) {
	engines := []*engine.Engine{engine.New(256 << 20), engine.New(64 << 10)}
	var built, failed int
	doubts := map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		d := drawer{rt, map[string]string{}, map[string][]drawn{}}
		d.tree()
		for range 2 {
			want, wanted := kustomize(fsOf(d.files), "/app")
			for i, e := range engines {
				got, err := e.Build(context.Background(), fsOf(d.files), "/app")
				var doubt *engine.Doubt
				switch {
				case errors.As(err, &doubt):
					if wanted == nil && i == 0 {
						doubts[doubt.Reason]++
					}
				case err != nil:
					rt.Fatalf("error %v", err)
				case wanted != nil:
					rt.Fatalf("kustomize: %v\nhere: %s\n%s", wanted, join(got), d)
				case !slices.EqualFunc(got, want, bytes.Equal):
					rt.Fatalf("kustomize:\n%s\nhere:\n%s\n%s", join(want), join(got), d)
				case i == 0:
					built++
				}
			}
			if wanted != nil {
				failed++
			}
			d.change()
		}
	})
	t.Logf("%d built, %d that kustomize does not build either, doubts of what it builds: %v", built, failed, doubts)
}

func join(documents [][]byte) string { return string(bytes.Join(documents, []byte("---\n"))) }

type drawer struct {
	*rapid.T
	files map[string]string
	// there are the objects that the directory at hand has, its bases' included.
	there map[string][]drawn
}

type drawn struct{ kind, name, namespace string }

func (d drawer) String() string {
	var all strings.Builder
	for _, name := range slices.Sorted(maps.Keys(d.files)) {
		fmt.Fprintf(&all, "=== %s\n%s\n", name, d.files[name])
	}
	return all.String()
}

func (d drawer) pick(label string, values ...string) string {
	return rapid.SampledFrom(values).Draw(d.T, label)
}

func (d drawer) once(label string, in int) bool { return rapid.IntRange(0, in-1).Draw(d.T, label) == 0 }

func (d drawer) name() string { return d.pick("name", "a", "b", "web") }

func (d drawer) tree() {
	d.component("/part")
	d.directory("/deep")
	d.directory("/base", "../deep")
	d.directory("/other", d.pick("also", "", "", "../deep"))
	d.directory("/app", "../base", "../other")
}

func (d drawer) change() {
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(d.files)), func(name string) bool {
		return !strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, "kustomization.yaml")
	})
	if len(names) == 0 {
		return
	}
	name := d.pick("changed", names...)
	if d.once("another object", 2) {
		d.files[name] = d.object("/none")
	} else {
		d.files[name] = strings.NewReplacer("app: web", "app: changed", "a: b", "a: changed").Replace(d.files[name])
	}
}

func (d drawer) component(dir string) {
	var resources []string
	if d.once("has a file", 2) {
		d.files[dir+"/o.yaml"] = d.object(dir)
		resources = []string{"o.yaml"}
	}
	k := d.kustomization(dir)
	k["apiVersion"], k["kind"] = "kustomize.config.k8s.io/v1alpha1", "Component"
	k["resources"] = resources
	d.write(dir, k)
}

func (d drawer) write(dir string, k map[string]any) {
	data, err := json.Marshal(k)
	if err != nil {
		d.Fatal(err)
	}
	d.files[dir+"/kustomization.yaml"] = string(data)
}

func (d drawer) directory(dir string, bases ...string) {
	var resources []string
	for i := range rapid.IntRange(1, 4).Draw(d.T, "files") {
		name := fmt.Sprintf("o%d.yaml", i)
		objects := []string{d.object(dir)}
		if d.once("two in a file", 4) {
			objects = append(objects, d.object(dir))
		}
		d.files[dir+"/"+name], resources = strings.Join(objects, "---\n"), append(resources, name)
	}
	for _, base := range bases {
		if base != "" && !d.once("without base", 4) {
			resources = append(resources, base)
			d.there[dir] = append(d.there[dir], d.there[base[2:]]...)
		}
	}
	k := d.kustomization(dir)
	k["resources"] = resources
	if d.once("components", 6) {
		k["components"] = []string{"../part"}
	}
	if dir == "/app" {
		d.set(k, "buildMetadata", func() any {
			return rapid.SliceOfN(rapid.SampledFrom([]string{"originAnnotations", "transformerAnnotations", "managedByLabel"}), 1, 3).Draw(d.T, "metadata")
		})
		d.set(k, "sortOptions", func() any {
			return map[string]any{"order": d.pick("order", "fifo", "legacy")}
		})
	}
	d.write(dir, k)
}

func (d drawer) set(k map[string]any, field string, value func() any) {
	if d.once(field, 7) {
		k[field] = value()
	}
}

type m = map[string]any

func (d drawer) kustomization(dir string) m {
	k := m{}
	d.set(k, "configMapGenerator", func() any { return d.generators(dir, "ConfigMap") })
	d.set(k, "secretGenerator", func() any { return d.generators(dir, "Secret") })
	d.set(k, "namespace", func() any { return d.pick("namespace", "own", "default") })
	d.set(k, "namePrefix", func() any { return dir[1:2] + "-" })
	d.set(k, "nameSuffix", func() any { return "-" + dir[1:2] })
	d.set(k, "commonLabels", func() any { return m{"l": dir[1:]} })
	d.set(k, "commonAnnotations", func() any { return m{"n": dir[1:], "on": "yes"} })
	d.set(k, "labels", func() any {
		return []any{m{
			"pairs": m{"x": dir[1:], "y": "1"}, "includeSelectors": d.once("selectors", 3), "includeTemplates": d.once("templates", 2),
			"includeVolumeClaimTemplates": d.once("claims", 2), "fields": rapid.SliceOfN(rapid.SampledFrom([]m{{"path": "spec/extra/labels", "create": true}, {"path": "spec/more", "kind": "Widget"}}), 0, 2).Draw(d.T, "fields"),
		}}
	})
	d.set(k, "images", func() any {
		return []any{m{"name": "ghcr.io/acme/web", "newTag": dir[1:]}, m{"name": "side", "newName": "mirror/side"}}
	})
	if i := slices.IndexFunc(d.there[dir], func(o drawn) bool { return o.kind == "Deployment" || o.kind == "StatefulSet" }); i >= 0 {
		d.set(k, "replicas", func() any { return []any{m{"name": d.there[dir][i].name, "count": 7}} })
	}
	d.set(k, "patches", func() any { return d.patches(dir) })
	d.set(k, "patchesStrategicMerge", func() any { return []string{d.merge(dir)} })
	d.set(k, "patchesJson6902", func() any {
		d.files[dir+"/json.yml"] = "- {op: add, path: /metadata/labels, value: {json: '1'}}\n"
		return []any{m{"path": "json.yml", "target": m{"version": "v1", "kind": d.kind(), "name": d.name()}}}
	})
	d.set(k, "replacements", func() any { return d.replacements(dir) })
	d.set(k, "generatorOptions", func() any { return m{"labels": m{"gen": "1"}, "disableNameSuffixHash": d.once("no hash", 3)} })
	return k
}

func (d drawer) generators(dir, kind string) []any {
	var all []any
	for i := range rapid.IntRange(1, 2).Draw(d.T, "generators") {
		own := drawn{kind: kind, name: fmt.Sprintf("gen%s-%d", dir[1:], i), namespace: d.pick("in", "", "", "own")}
		g := m{}
		there := slices.DeleteFunc(slices.Clone(d.there[dir]), func(o drawn) bool { return o.kind != kind })
		switch {
		case len(there) > 0 && d.once("existing", 2):
			own = rapid.SampledFrom(there).Draw(d.T, "existing")
			g["behavior"] = d.pick("behavior", "merge", "replace")
		case d.once("wrong", 12):
			own.name = d.name()
			g["behavior"] = d.pick("behavior", "merge", "replace", "create")
		default:
			d.there[dir] = append(d.there[dir], own)
		}
		g["name"], g["namespace"] = own.name, own.namespace
		g["literals"] = []string{d.pick("literal", "a=b", "c=d", "e=1", "f=")}
		if d.once("files", 3) {
			d.files[dir+"/f.txt"] = "some\ntext\n"
			g["files"] = []string{d.pick("file", "f.txt", "key=f.txt", "../base/o0.yaml")}
		}
		if d.once("envs", 3) {
			d.files[dir+"/e.env"] = "X=y\n# no\nZ\n"
			g["envs"] = []string{"e.env"}
		}
		if d.once("options", 3) {
			g["options"] = m{"immutable": true, "annotations": m{"o": "p"}, "disableNameSuffixHash": d.once("no hash", 2)}
		}
		all = append(all, g)
	}
	return all
}

func (d drawer) patches(dir string) []any {
	var all []any
	for i := range rapid.IntRange(1, 2).Draw(d.T, "patches") {
		p := m{}
		switch d.pick("patch", "merge", "file", "json", "target", "delete", "rename", "merge", "json", "target", "merge", "json", "target", "file", "odd") {
		case "merge":
			p["patch"] = d.merge(dir)
		case "file":
			name := fmt.Sprintf("p%d.yml", i)
			d.files[dir+"/"+name] = d.merge(dir)
			if d.once("second", 4) {
				d.files[dir+"/"+name] += "---\n" + d.merge(dir)
			}
			p["path"] = name
		case "json":
			p["patch"] = d.pick("op", "- {op: add, path: /metadata/annotations, value: {json: x}}", "[{\"op\": \"replace\", \"path\": \"/metadata/name\", \"value\": \"web\"}]", "- {op: remove, path: /spec}", "- {op: add, path: /metadata/labels/j, value: '1'}")
			p["target"] = d.target()
		case "target":
			p["patch"], p["target"] = d.merge(dir), d.target()
		case "delete":
			p["patch"] = strings.Split(d.merge(dir), "\nspec:")[0] + "\n$patch: delete\n"
			if d.once("targeted", 2) {
				p["target"] = d.target()
			}
		case "rename":
			p["patch"] = fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\n", "renamed")
			p["target"], p["options"] = m{"kind": "ConfigMap", "name": d.name()}, m{"allowNameChange": true, "allowKindChange": d.once("kind", 2)}
		default:
			p["patch"] = d.pick("odd", "# nothing\n", "apiVersion: v1", "")
		}
		all = append(all, p)
	}
	return all
}

func (d drawer) merge(dir string) string {
	kind, name, namespace := d.kind(), d.name(), ""
	if there := d.there[dir]; len(there) > 0 && !d.once("for none", 12) {
		of := rapid.SampledFrom(there).Draw(d.T, "of")
		kind, name, namespace = of.kind, of.name, of.namespace
	}
	version := "v1"
	for _, object := range objects {
		if strings.Contains(object, "kind: "+kind+"\n") {
			version, _, _ = strings.Cut(strings.SplitN(object, "apiVersion: ", 2)[1], "\n")
		}
	}
	return fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata: {name: %s, namespace: '%s', labels: {merged: '1'}}\n%s\n", version, kind, name, namespace,
		d.pick("change", "data: {new: v}", "spec: {replicas: 3}", "spec: {template: {spec: {containers: [{name: web, env: [{name: A, value: b}]}, {name: extra, image: side}]}}}", "data: null"))
}

func (d drawer) target() m {
	t := m{}
	if d.once("by kind", 2) {
		t["kind"] = d.pick("kinds", "Deployment", "ConfigMap|Service", ".*Set")
	}
	if d.once("by name", 3) {
		t["name"] = d.pick("names", "a", ".*b.*", "web")
	}
	if d.once("by namespace", 5) {
		t["namespace"] = d.pick("namespaces", "own", "default")
	}
	if d.once("by label", 5) {
		t["labelSelector"] = d.pick("selector", "app=web", "l", "merged", "app=web", "app!=x", "app in (")
	}
	if d.once("by annotation", 8) {
		t["annotationSelector"] = "n=base"
	}
	return t
}

func (d drawer) replacements(dir string) []any {
	from := drawn{kind: d.kind(), name: d.name()}
	if there := d.there[dir]; len(there) > 0 && !d.once("of none", 12) {
		from = rapid.SampledFrom(there).Draw(d.T, "of")
	}
	r := m{
		"source": m{"kind": from.kind, "name": from.name, "fieldPath": d.pick("from", "metadata.name", "metadata.labels.app", "metadata.name", "metadata.labels.app", "metadata", "data.a", "spec.replicas")},
		"targets": []any{m{
			"select": d.target(), "fieldPaths": []string{d.pick("to", "metadata.annotations.copied", "metadata.labels.new", "metadata.annotations.copied", "spec.template.spec.containers.[name=web].image", "data.a", "metadata.labels.app", "data.conf")},
			"options": rapid.SampledFrom([]m{{"create": true}, {"create": true}, {"create": true}, {}, {"delimiter": ":", "index": 1}, {"create": true, "delimiter": "-", "index": 0}}).Draw(d.T, "options"),
		}},
	}
	if d.once("reject", 4) {
		r["targets"].([]any)[0].(m)["reject"] = []any{d.target()}
	}
	if d.once("value", 5) {
		delete(r, "source")
		r["sourceValue"] = "given"
	}
	if !d.once("from a file", 3) {
		return []any{r}
	}
	data, err := json.Marshal(r)
	if err != nil {
		d.Fatal(err)
	}
	d.files[dir+"/replacement.yml"] = string(data)
	return []any{m{"path": "replacement.yml"}}
}

func (d drawer) kind() string {
	return d.pick("kind", "Deployment", "ConfigMap", "Secret", "Service", "StatefulSet", "Widget", "ServiceAccount")
}

func (d drawer) object(dir string) string {
	object := d.pick("object", slices.Sorted(maps.Keys(objects))...)
	o := drawn{name: d.name(), namespace: d.pick("in", "", "", "own", "default")}
	if _, of, found := strings.Cut(objects[object], "kind: "); found {
		o.kind, _, _ = strings.Cut(of, "\n")
	}
	for _, all := range d.there {
		if slices.ContainsFunc(all, func(other drawn) bool { return o.kind == other.kind && o.name == other.name }) && !d.once("again", 30) {
			o.name += "-" + dir[1:] + fmt.Sprint(len(d.files))
		}
	}
	if !slices.Contains([]string{"list", "empty", "namespace", "ingress", "crd"}, object) {
		d.there[dir] = append(d.there[dir], o)
	}
	namespace := ""
	if o.namespace != "" {
		namespace = ", namespace: " + o.namespace
	}
	text := strings.ReplaceAll(objects[object], "META", fmt.Sprintf("{name: %s%s, labels: {app: %s}%s}", o.name, namespace, d.pick("app", "web", "other"), d.pick("notes", "", "", ", annotations: {n: base, i: 1}", ", annotations: {}", ", annotations: {config.kubernetes.io/local-config: 'true'}")))
	text = strings.ReplaceAll(text, "INGRESS", o.name)
	if object == "list" || object == "namespace" {
		text = strings.ReplaceAll(text, "name: REF}", "name: "+o.name+"-x}")
	}
	for strings.Contains(text, "REF") {
		text = strings.Replace(text, "REF", d.referred(), 1)
	}
	return text
}

// referred is a name of an object that is there, often.
func (d drawer) referred() string {
	var names []string
	for _, all := range d.there {
		for _, o := range all {
			names = append(names, o.name)
		}
	}
	if len(names) == 0 || d.once("to none", 3) {
		return d.name()
	}
	slices.Sort(names)
	return d.pick("refers to", names...)
}

const podSpec = "{serviceAccountName: REF, imagePullSecrets: [{name: REF}], initContainers: [{name: init, image: side}], containers: [{name: web, image: 'ghcr.io/acme/web:v1', envFrom: [{configMapRef: {name: REF}}, {secretRef: {name: REF}}], env: [{name: X, valueFrom: {configMapKeyRef: {name: REF, key: a}}}, {name: Y, value: \"\"}]}], " +
	"volumes: [{name: v, configMap: {name: REF}}, {name: s, secret: {secretName: REF}}, {name: p, persistentVolumeClaim: {claimName: REF}}, {name: q, projected: {sources: [{configMap: {name: REF}}, {secret: {name: REF}}]}}]}"

var objects = map[string]string{
	"deployment":     "apiVersion: apps/v1\nkind: Deployment\nmetadata: META\nspec:\n  replicas: 1\n  selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec: " + podSpec + "\n",
	"statefulset":    "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: META\nspec:\n  serviceName: REF\n  template:\n    spec: " + podSpec + "\n  volumeClaimTemplates: [{metadata: {name: d}, spec: {storageClassName: REF}}]\n",
	"cronjob":        "apiVersion: batch/v1\nkind: CronJob\nmetadata: META\nspec: {jobTemplate: {spec: {template: {spec: " + podSpec + "}}}}\n",
	"pod":            "apiVersion: v1\nkind: Pod\nmetadata: META\nspec: " + podSpec + "\n",
	"configmap":      "apiVersion: v1\nkind: ConfigMap\nmetadata: META\ndata: {a: b, conf: '{\"x\": 1}', 'on': \"yes\"}\n",
	"configmap2":     "apiVersion: v1\nkind: ConfigMap\nmetadata: META\nbinaryData: {z: aGVsbG8=}\n",
	"secret":         "apiVersion: v1\nkind: Secret\nmetadata: META\nstringData: {a: plain}\ndata: {c: Yg==}\n",
	"service":        "apiVersion: v1\nkind: Service\nmetadata: META\nspec: {selector: {app: web}, ports: [{port: 80}]}\n",
	"serviceaccount": "apiVersion: v1\nkind: ServiceAccount\nmetadata: META\nimagePullSecrets: [{name: REF}]\n",
	"pvc":            "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: META\nspec: {volumeName: REF, storageClassName: REF}\n",
	"pv":             "apiVersion: v1\nkind: PersistentVolume\nmetadata: META\nspec: {storageClassName: REF}\n",
	"storageclass":   "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: META\nparameters: {secretName: REF}\n",
	"ingress":        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: INGRESS, annotations: {nginx.ingress.kubernetes.io/auth-secret: REF}}\nspec: {ingressClassName: REF, tls: [{secretName: REF}], rules: [{http: {paths: [{backend: {service: {name: REF}}}]}}]}\n",
	"hpa":            "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: META\nspec: {scaleTargetRef: {kind: Deployment, name: REF}}\n",
	"role":           "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: META\nrules: [{resources: [configmaps], resourceNames: [REF, REF]}]\n",
	"clusterrole":    "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: META\nrules: [{resources: [secrets], resourceNames: [REF]}]\n",
	"binding":        "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: META\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: REF}\nsubjects: [{kind: ServiceAccount, name: REF, namespace: own}, {kind: ServiceAccount, name: default}]\n",
	"clusterbinding": "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: META\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: REF}\nsubjects: [{kind: ServiceAccount, name: REF, namespace: default}, {kind: ServiceAccount, name: REF, namespace: elsewhere}]\n",
	"namespace":      "apiVersion: v1\nkind: Namespace\nmetadata: {name: REF}\n",
	"crd":            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: REF.example.com}\nspec: {conversion: {webhook: {clientConfig: {service: {name: REF, namespace: own}}}}}\n",
	"webhook":        "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\nmetadata: META\nwebhooks: [{clientConfig: {service: {name: REF, namespace: own}}}, {clientConfig: {url: x}}]\n",
	"widget":         "apiVersion: example.com/v1\nkind: Widget\nmetadata: META\nspec: {image: ghcr.io/acme/web, containers: [{image: side}], more: {}}\n",
	"list":           "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: REF}}\n- {apiVersion: v1, kind: Service, metadata: {name: REF}, spec: {}}\n",
	"anchors":        "apiVersion: v1\nkind: ConfigMap\nmetadata: META\ndata: &d {a: b}\nbinaryData: *d\n",
	"merged":         "apiVersion: v1\nkind: ConfigMap\nmetadata: META\ndata: {<<: {a: b, c: d}, c: e}\n",
	"keys":           "apiVersion: v1\nkind: ConfigMap\nmetadata: META\ndata: {\"<<\": x, 1: y, true: z}\n",
	"repeated":       "apiVersion: v1\nkind: ConfigMap\nmetadata: META\ndata: {a: b, a: b}\n",
	"nulls":          "apiVersion: v1\nkind: Pod\nmetadata: META\nspec: {containers: null, volumes: [{image: null}, {image: {reference: side}}], initContainers: []}\n",
	"comments":       "# head\napiVersion: v1 # line\nkind: ConfigMap\nmetadata: META\ndata:\n  # above\n  long: |\n    a\n    b\n  folded: >-\n    c\n    d\n",
	"empty":          "# nothing\n",
}
