package buildtest

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// rareFields are those that few people use and that take kustomize itself: a tree has at most one of them.
var rareFields = []string{"vars", "crds", "configurations", "openapi", "generators", "transformers", "validators", "buildMetadata", "sortOptions", "helm"}

// rarely puts the tree's rare field into the file, of some of the files.
func (d *drawer) rarely(l *layer) {
	if d.plan.rare == "" || l.dir != Dir && !d.chance(40) {
		return
	}
	switch d.plan.rare {
	case "vars":
		d.vars(l)
	case "crds":
		name := d.fresh("crd") + ".json"
		d.write(join(l.dir, name), widgetTypes)
		l.k["crds"] = []any{name}
	case "configurations":
		name := d.fresh("config") + ".yaml"
		d.write(join(l.dir, name), d.pick(
			"nameReference:\n- kind: ConfigMap\n  fieldSpecs:\n  - {path: spec/alpha, kind: Widget}\n",
			"commonLabels:\n- {path: spec/labels, create: true, kind: Widget}\nimages:\n- {path: spec/image, kind: Widget}\n",
			"namePrefix:\n- {path: metadata/name, kind: Widget}\nvarReference:\n- {path: spec/alpha, kind: Widget}\nnamespace:\n- {path: spec/namespace, create: true, kind: Widget}\n",
			"replicas:\n- {path: spec/size, kind: Widget, create: true}\ncommonAnnotations:\n- {path: spec/notes, create: true, kind: Widget}\n",
		))
		l.k["configurations"] = []any{name}
	case "openapi":
		if d.chance(30) {
			l.k["openapi"] = fields{"version": "v1.21.2"}
			return
		}
		name := d.fresh("schema") + ".json"
		d.write(join(l.dir, name), widgetSchema)
		l.k["openapi"] = fields{"path": name}
	case "generators", "transformers", "validators":
		d.plugins(l, d.plan.rare)
	case "buildMetadata":
		l.k["buildMetadata"] = d.some(3, "originAnnotations", "transformerAnnotations", "managedByLabel")
	case "sortOptions":
		l.k["sortOptions"] = d.pickFields(fields{"order": "fifo"}, fields{"order": "legacy"},
			fields{"order": "legacy", "legacySortOptions": fields{"orderFirst": []any{"Deployment", "Namespace"}, "orderLast": []any{"ConfigMap"}}})
	case "helm":
		if l.dir == Dir && d.chance(50) {
			d.charts(l)
		}
	}
}

func (d *drawer) vars(l *layer) {
	for _, o := range l.objects {
		if o.gone || o.twice || !d.chance(25) {
			continue
		}
		v := fields{"name": strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(d.fresh("var"))), "objref": fields{"apiVersion": o.apiVersion, "kind": o.kind.name, "name": o.label}}
		if o.namespace != "" {
			v["objref"].(fields)["namespace"] = o.namespace
		}
		if d.chance(30) {
			v["fieldref"] = fields{"fieldPath": d.pick("metadata.name", "kind")}
		}
		d.put(l.k, "vars[]", v)
		d.use(l, v["name"].(string))
	}
	if d.chance(50) { // by the group and version apart
		name := d.fresh("given")
		variable := strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		d.write(join(l.dir, name+".yaml"), "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: "+name+"}\nspec: {template: {spec: {containers: [{name: c, image: a, args: [$("+variable+"), 'x-$("+variable+")']}]}}}\n")
		d.put(l.k, "resources[]", name+".yaml")
		d.put(l.k, "vars[]", fields{"name": variable, "objref": fields{"group": "apps", "version": "v1", "kind": "Deployment", "name": name}, "fieldref": fields{"fieldPath": "metadata.name"}})
	}
}

// use has an object say the variable.
func (d *drawer) use(l *layer, name string) {
	user := d.fresh("user")
	d.write(join(l.dir, user+".yaml"), "apiVersion: v1\nkind: Pod\nmetadata: {name: "+user+", annotations: {v: $("+name+")}}\nspec: {containers: [{name: c, image: a, command: [$("+name+")], env: [{name: A, value: 'is $("+name+")'}]}]}\n")
	d.put(l.k, "resources[]", user+".yaml")
}

// plugins are kustomize's own, configured in place or in files.
func (d *drawer) plugins(l *layer, field string) {
	for range 1 + d.upTo(2) {
		config := d.transformer()
		switch field {
		case "generators":
			config = d.pickFields(
				fields{"kind": "ConfigMapGenerator", "name": d.fresh("plugin"), "literals": []any{"a=b"}},
				fields{"kind": "SecretGenerator", "name": d.fresh("plugin"), "literals": []any{"a=b"}, "options": fields{"disableNameSuffixHash": true}},
			)
			config["metadata"] = fields{"name": config["name"]}
			delete(config, "name")
		case "validators": // those of kustomize that change nothing
			config = d.pickFields(fields{"kind": "LabelTransformer", "labels": fields{}}, fields{"kind": "AnnotationsTransformer", "annotations": fields{}})
		}
		config["apiVersion"] = "builtin"
		if config["metadata"] == nil {
			config["metadata"] = fields{"name": d.fresh("plugin")}
		}
		entry := d.yaml(config)
		if d.chance(60) {
			name := d.fresh("plugin") + ".yaml"
			d.write(join(l.dir, name), entry)
			entry = name
		}
		d.put(l.k, field+"[]", entry)
	}
}

func (d *drawer) transformer() fields {
	meta := fields{"name": d.fresh("plugin")}
	return d.pickFields(
		fields{"kind": "PrefixTransformer", "prefix": "t-", "fieldSpecs": []any{fields{"path": "metadata/name"}}},
		fields{"kind": "SuffixTransformer", "suffix": "-t", "fieldSpecs": []any{fields{"path": "metadata/name", "kind": "Widget"}}},
		fields{"kind": "LabelTransformer", "labels": d.pairs(1), "fieldSpecs": []any{fields{"path": "metadata/labels", "create": true}}},
		fields{"kind": "AnnotationsTransformer", "annotations": d.pairs(1), "fieldSpecs": []any{fields{"path": "metadata/annotations", "create": true}}},
		fields{"kind": "NamespaceTransformer", "metadata": fields{"name": meta["name"], "namespace": "plugged"}, "unsetOnly": d.chance(50), "setRoleBindingSubjects": d.pick("none", "defaultOnly", "allServiceAccounts")},
		fields{"kind": "ImageTagTransformer", "imageTag": fields{"name": "nginx", "newTag": "plugged"}, "fieldSpecs": []any{fields{"path": "spec/template/spec/containers[]/image"}}},
		fields{"kind": "PatchTransformer", "target": fields{"kind": "Deployment"}, "patch": `[{"op": "add", "path": "/metadata/annotations", "value": {"plugged": "1"}}]`},
	)
}

// charts are refused, with whatever fields.
func (d *drawer) charts(l *layer) {
	chart := fields{
		"name": "c", "version": "1.0.0", "repo": "https://charts.example.com", "releaseName": "r", "namespace": "n", "additionalValuesFiles": []any{"a.yaml"}, "valuesFile": "v.yaml", "valuesInline": fields{"a": 1}, "valuesMerge": "merge",
		"includeCRDs": true, "skipHooks": true, "apiVersions": []any{"v1"}, "kubeVersion": "1.30", "nameTemplate": "t", "skipTests": true, "debug": true, "devel": true,
	}
	old := fields{
		"chartName": "c", "chartVersion": "1", "chartRepoUrl": "https://charts.example.com", "chartHome": "h", "chartRepoName": "n", "helmBin": "b", "helmHome": "h", "values": "v.yaml", "valuesLocal": fields{"a": 1},
		"valuesMerge": "merge", "releaseName": "r", "releaseNamespace": "n", "extraArgs": []any{"--x"},
	}
	for _, all := range []fields{chart, old} {
		for _, field := range slices.Sorted(maps.Keys(all)) {
			if field != "name" && field != "chartName" && d.chance(40) {
				delete(all, field)
			}
		}
	}
	switch d.upTo(3) {
	case 0:
		l.k["helmCharts"] = []any{chart}
	case 1:
		l.k["helmChartInflationGenerator"] = []any{old}
	case 2:
		l.k["helmGlobals"] = fields{"chartHome": "charts", "configHome": "config"}
	}
}

// widgetTypes say which fields of a Widget name what, as crds takes it.
const widgetTypes = `{"example.com/v1.Widget": {"Schema": {"properties": {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}, "spec": {"$ref": "example.com/v1.WidgetSpec"}}}, "Dependencies": ["example.com/v1.WidgetSpec"]},
"example.com/v1.WidgetSpec": {"Schema": {"properties": {"alpha": {"type": "string", "x-kubernetes-object-ref-api-version": "v1", "x-kubernetes-object-ref-kind": "ConfigMap"}}}}}
`

// widgetSchema has the parts of a Widget merged by name.
var widgetSchema = func() string {
	data, err := json.Marshal(fields{"definitions": fields{
		"v1.Widget": fields{"type": "object", "properties": fields{"spec": fields{"$ref": "#/definitions/v1.Spec"}}, "x-kubernetes-group-version-kind": []any{fields{"group": "example.com", "kind": "Widget", "version": "v1"}}},
		"v1.Spec":   fields{"type": "object", "properties": fields{"parts": fields{"type": "array", "items": fields{"type": "object"}, "x-kubernetes-patch-merge-key": "name", "x-kubernetes-patch-strategy": "merge"}}},
	}})
	if err != nil {
		panic(err) // strings always encode
	}
	return string(data)
}()
