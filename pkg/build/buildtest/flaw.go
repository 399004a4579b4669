package buildtest

import (
	"maps"
	"slices"
)

var flawNames = slices.Sorted(maps.Keys(flaws))

// flaws are what goes wrong in people's trees, each put into the directory that is built.
var flaws = map[string]func(d *drawer, l *layer){
	"missing resource":  func(d *drawer, l *layer) { d.put(l.k, "resources[]", "nowhere.yaml") },
	"missing base":      func(d *drawer, l *layer) { d.put(l.k, "resources[]", "../nowhere") },
	"missing component": func(d *drawer, l *layer) { d.put(l.k, "components[]", "../nowhere") },
	"missing patch":     func(d *drawer, l *layer) { d.put(l.k, "patches[]", fields{"path": "nowhere.yaml"}) },
	"missing generator file": func(d *drawer, l *layer) {
		d.put(l.k, "configMapGenerator[]", fields{"name": "g", "files": []any{"nowhere"}})
	},
	"remote base":   func(d *drawer, l *layer) { d.put(l.k, "resources[]", "https://github.com/acme/app//deploy?ref=v1") },
	"absolute path": func(d *drawer, l *layer) { d.put(l.k, "resources[]", "/etc/passwd.yaml") },
	"path outside":  func(d *drawer, l *layer) { d.put(l.k, "resources[]", "../../outside.yaml") },
	"base is above": func(d *drawer, l *layer) { d.put(l.k, "resources[]", "..") },
	"itself":        func(d *drawer, l *layer) { d.put(l.k, "resources[]", ".") },
	"unknown field": func(d *drawer, l *layer) { l.k["resource"] = []any{"a.yaml"} },
	"wrong kind":    func(d *drawer, l *layer) { l.k["kind"] = "Kustomize" },
	"wrong version": func(d *drawer, l *layer) { l.k["apiVersion"] = "kustomize.config.k8s.io/v9" },
	"wrong type":    func(d *drawer, l *layer) { l.k["namePrefix"] = []any{"a"} },
	"number as tag": func(d *drawer, l *layer) { d.put(l.k, "images[]", fields{"name": "nginx", "newTag": scalar("1.25")}) },
	"literal without value": func(d *drawer, l *layer) {
		d.put(l.k, "configMapGenerator[]", fields{"name": "g", "literals": []any{"novalue"}})
	},
	"generator without name": func(d *drawer, l *layer) { d.put(l.k, "configMapGenerator[]", fields{"literals": []any{"a=b"}}) },
	"merge of nothing": func(d *drawer, l *layer) {
		d.put(l.k, d.pick("configMapGenerator[]", "secretGenerator[]"), fields{"name": "g", "behavior": d.pick("merge", "replace"), "literals": []any{"a=b"}})
	},
	"unknown behavior": func(d *drawer, l *layer) {
		d.put(l.k, "configMapGenerator[]", fields{"name": "g", "behavior": "append", "literals": []any{"a=b"}})
	},
	"replicas of nothing":       func(d *drawer, l *layer) { d.put(l.k, "replicas[]", fields{"name": "nobody", "count": 1}) },
	"patch of nothing":          func(d *drawer, l *layer) { d.put(l.k, d.pick("patchesStrategicMerge[]"), d.yaml(nobody())) },
	"patch without object":      func(d *drawer, l *layer) { d.put(l.k, "patches[]", fields{"patch": d.yaml(nobody())}) },
	"patch and path":            func(d *drawer, l *layer) { d.put(l.k, "patches[]", fields{"patch": "a: b", "path": "p.yaml"}) },
	"empty patch":               func(d *drawer, l *layer) { d.put(l.k, "patches[]", fields{"target": fields{"kind": "ConfigMap"}}) },
	"operations without target": func(d *drawer, l *layer) { d.put(l.k, "patches[]", fields{"patch": "- {op: add, path: /a, value: b}"}) },
	"both sorts of patch": func(d *drawer, l *layer) {
		d.put(l.k, "patches[]", fields{"patch": "not a patch", "target": fields{"kind": "ConfigMap"}})
	},
	"bad expression": func(d *drawer, l *layer) {
		d.put(l.k, "patches[]", fields{"patch": d.yaml(nobody()), "target": fields{"name": "(["}})
	},
	"bad selector": func(d *drawer, l *layer) {
		d.put(l.k, "patches[]", fields{"patch": d.yaml(nobody()), "target": fields{"kind": ".*", "labelSelector": "a=b=c"}})
	},
	"var of nothing": func(d *drawer, l *layer) {
		d.put(l.k, "vars[]", fields{"name": "V", "objref": fields{"apiVersion": "v1", "kind": "ConfigMap", "name": "nobody"}})
	},
	"replacement of nothing": func(d *drawer, l *layer) {
		d.put(l.k, "replacements[]", fields{"source": fields{"kind": "ConfigMap", "name": "nobody"}, "targets": []any{fields{"select": fields{"kind": "ConfigMap"}, "fieldPaths": []any{"data.a"}}}})
	},
	"replacement without end": func(d *drawer, l *layer) { d.put(l.k, "replacements[]", fields{"sourceValue": "a"}) },
	"program": func(d *drawer, l *layer) {
		d.put(l.k, "transformers[]", "apiVersion: example.com/v1\nkind: Program\nmetadata: {name: x}\n")
	},
	"no component": func(d *drawer, l *layer) {
		d.write("plainbase/kustomization.yaml", "namePrefix: a-\n")
		d.put(l.k, "components[]", "../plainbase")
	},
	"component as resource": func(d *drawer, l *layer) {
		d.write("lonely/kustomization.yaml", "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nnamePrefix: a-\n")
		d.put(l.k, "resources[]", "../lonely")
	},
	"two kustomization files": func(d *drawer, l *layer) {
		d.write(join(l.dir, "Kustomization"), "resources: []\n")
		d.write(join(l.dir, "kustomization.yml"), "resources: []\n")
	},
	"label in both fields": func(d *drawer, l *layer) {
		l.k["commonLabels"] = fields{"a": "b"}
		d.put(l.k, "labels[]", fields{"pairs": fields{"a": "c"}, "fields": []any{fields{"path": "metadata/labels"}}})
	},
	"resource not YAML":      broken("a: [\n"),
	"tab in YAML":            broken("apiVersion: v1\nkind: ConfigMap\nmetadata:\n\tname: a\n"),
	"object without kind":    broken("apiVersion: v1\nmetadata: {name: a}\n"),
	"object without name":    broken("apiVersion: v1\nkind: ConfigMap\nmetadata: {labels: {a: b}}\n"),
	"only generateName":      broken("apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: a-}\n"),
	"null in a list":         broken("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [null]}\n"),
	"empty annotation":       broken("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, annotations: {a: 1, b: true}}\n"),
	"labels a list":          broken("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: [a]}\n"),
	"key twice":              broken("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: b, a: c}\n"),
	"no objects":             broken("# nothing here\n"),
	"a text":                 broken("just words\n"),
	"a list":                 broken("- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: a}\n"),
	"alias of nothing":       broken("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: *a}\n"),
	"merge key of a list":    broken("a: &a [b]\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, <<: *a}\n"),
	"image a map":            broken("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: {b: c}}, {name: b}, {name: c, image: null}]}\n"),
	"containers a map":       broken("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: {a: b}, volumes: a}\n"),
	"subjects a map":         broken("apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: a}\nsubjects: {kind: ServiceAccount, name: a}\n"),
	"subject without name":   broken("apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: a}\nsubjects: [{kind: ServiceAccount}]\n"),
	"role without group":     broken("apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: a}\nroleRef: {kind: Role, name: a}\n"),
	"webhook without name":   broken("apiVersion: admissionregistration.k8s.io/v1\nkind: MutatingWebhookConfiguration\nmetadata: {name: a}\nwebhooks: [{name: a, clientConfig: {service: {namespace: b}}}]\n"),
	"list of a text":         broken("apiVersion: v1\nkind: List\nitems: a\n"),
	"list of nothing":        broken("apiVersion: v1\nkind: List\nitems: null\n---\napiVersion: v1\nkind: ConfigMapList\nmetadata: {name: none}\n"),
	"list of half an object": broken("apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: ConfigMap}]\n"),
	"name a number":          broken("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: 1, namespace: 2}\n"),
	"kind a number":          broken("apiVersion: v1\nkind: 1\nmetadata: {name: a}\n"),
	"metadata null":          broken("apiVersion: v1\nkind: ConfigMap\nmetadata: null\n"),
	"not UTF-8":              broken("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \xff}\n"),
	"an env file's line": func(d *drawer, l *layer) {
		d.write(join(l.dir, "bad.env"), "a b=c\n")
		d.put(l.k, "configMapGenerator[]", fields{"name": "g", "envs": []any{"bad.env"}})
	},
	"an env file not UTF-8": func(d *drawer, l *layer) {
		d.write(join(l.dir, "bad.env"), "A=\xff\n")
		d.put(l.k, "secretGenerator[]", fields{"name": "g", "envs": []any{"bad.env"}})
	},
	"key in two sources": func(d *drawer, l *layer) {
		d.put(l.k, "configMapGenerator[]", fields{"name": "g", "literals": []any{"a=b", "a=c"}})
	},
	"encrypted file": func(d *drawer, l *layer) {
		d.write(join(l.dir, "sealed.env"), "A=ENC[AES256_GCM,data:x]\nsops_version=3.9.0\nsops_mac=ENC[x]\n")
		d.put(l.k, "secretGenerator[]", fields{"name": "sealed", "envs": []any{"sealed.env"}})
	},
	"resource twice": func(d *drawer, l *layer) {
		d.write(join(l.dir, "twice.yaml"), d.yaml(nobody()))
		d.put(l.k, "resources", []any{"twice.yaml", "./twice.yaml"})
	},
	"object twice": func(d *drawer, l *layer) {
		d.write(join(l.dir, "twice.yaml"), d.yaml(nobody(), nobody()))
		d.put(l.k, "resources[]", "twice.yaml")
	},
	"generator twice": func(d *drawer, l *layer) {
		for range 2 {
			d.put(l.k, "secretGenerator[]", fields{"name": "g", "literals": []any{"a=b"}})
		}
	},
	"generator of an object": func(d *drawer, l *layer) {
		d.write(join(l.dir, "there.yaml"), d.yaml(nobody()))
		d.put(l.k, "resources[]", "there.yaml")
		d.put(l.k, "configMapGenerator[]", fields{"name": "nobody", "literals": []any{"a=b"}})
	},
	"namespaces that meet": func(d *drawer, l *layer) {
		a, b := nobody(), nobody()
		d.put(a, "metadata/namespace", "a")
		d.put(b, "metadata/namespace", "b")
		d.write(join(l.dir, "meet.yaml"), d.yaml(a, b))
		d.put(l.k, "resources[]", "meet.yaml")
		l.k["namespace"] = "both"
	},
	"names that meet": func(d *drawer, l *layer) {
		other := nobody()
		d.put(other, "metadata/name", "other")
		d.write(join(l.dir, "meet.yaml"), d.yaml(nobody(), other))
		d.put(l.k, "resources[]", "meet.yaml")
		d.put(l.k, "patches[]", fields{"target": fields{"kind": "ConfigMap", "name": "other"}, "options": fields{"allowNameChange": true}, "patch": d.yaml(nobody())})
	},
	"operation on nothing": func(d *drawer, l *layer) {
		d.write(join(l.dir, "there.yaml"), d.yaml(nobody()))
		d.put(l.k, "resources[]", "there.yaml")
		d.put(l.k, d.pick("patches[]", "patchesJson6902[]"), fields{"target": fields{"version": "v1", "kind": "ConfigMap", "name": "nobody"}, "patch": d.yaml([]any{d.pickFields(
			fields{"op": "remove", "path": "/data/a"}, fields{"op": "test", "path": "/kind", "value": "Secret"}, fields{"op": "add", "path": "/spec/a/b", "value": 1}, fields{"op": "frobnicate", "path": "/kind"}, fields{"op": "replace", "path": "/data", "value": 1},
		)})})
	},
	"replacement out of bounds": func(d *drawer, l *layer) {
		d.write(join(l.dir, "there.yaml"), d.yaml(nobody()))
		d.put(l.k, "resources[]", "there.yaml")
		source := fields{"kind": "ConfigMap", "name": "nobody"}
		target := fields{"select": fields{"kind": "ConfigMap", "name": "nobody"}, "fieldPaths": []any{"metadata.name"}}
		switch d.upTo(4) {
		case 0:
			source["options"] = fields{"delimiter": ".", "index": 4}
		case 1:
			source["fieldPath"] = "data.missing"
		case 2:
			target["fieldPaths"] = []any{"data.missing"}
		case 3:
			delete(target, "select")
		}
		d.put(l.k, "replacements[]", fields{"source": source, "targets": []any{target}})
	},
	"source of two": func(d *drawer, l *layer) {
		a, b := nobody(), nobody()
		d.put(b, "metadata/name", "other")
		d.write(join(l.dir, "two.yaml"), d.yaml(a, b))
		d.put(l.k, "resources[]", "two.yaml")
		d.put(l.k, "replacements[]", fields{"source": fields{"kind": "ConfigMap"}, "targets": []any{fields{"select": fields{"kind": "ConfigMap"}, "fieldPaths": []any{"metadata.name"}}}})
	},
	"several patches with target": func(d *drawer, l *layer) {
		d.put(l.k, "patches[]", fields{"target": fields{"kind": "ConfigMap"}, "patch": d.styled(style{indent: 2}, nobody(), nobody())})
	},
}

func nobody() fields {
	return fields{"apiVersion": "v1", "kind": "ConfigMap", "metadata": fields{"name": "nobody"}}
}

// broken adds a file of that content to the resources.
func broken(content string) func(d *drawer, l *layer) {
	return func(d *drawer, l *layer) {
		d.write(join(l.dir, "broken.yaml"), content)
		d.put(l.k, "resources[]", "broken.yaml")
	}
}
