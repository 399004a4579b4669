package buildtest

import (
	"encoding/json"
	"strings"
)

// patches draws those of the three fields.
func (d *drawer) patches(l *layer) {
	for range d.upTo(9) / 4 {
		d.patch(l)
	}
	if d.chance(12) {
		d.oldMerge(l)
	}
	if d.chance(12) {
		d.oldOperations(l)
	}
}

// patch adds an entry to patches.
func (d *drawer) patch(l *layer) {
	o := d.patchable(l)
	if o == nil {
		return
	}
	entry := fields{}
	switch d.upTo(10) {
	case 0, 1, 2:
		d.keep(l, entry, "patch", d.yaml(d.merge(o)))
	case 3:
		var several []any // kustomize takes more than one without target
		for range 1 + d.upTo(3) {
			if p := d.patchable(l); p != nil {
				several = append(several, d.merge(p))
			}
		}
		if len(several) == 0 {
			return
		}
		d.keep(l, entry, "patch", d.yaml(several...))
	case 4, 5:
		entry["target"] = d.target(o)
		d.keep(l, entry, "patch", d.yaml(d.anyMerge(o)))
	case 6, 7:
		entry["target"] = d.exactly(o)
		d.keep(l, entry, "patch", d.operations(o))
	case 8:
		entry["target"] = d.target(o)
		d.keep(l, entry, "patch", d.yaml([]any{fields{"op": "add", "path": "/metadata/annotations", "value": d.pairs(1)}}))
	case 9:
		if o.twice {
			return
		}
		entry["target"] = d.exactly(o)
		entry["options"] = d.pickFields(fields{"allowNameChange": true}, fields{"allowKindChange": true}, fields{"allowNameChange": true, "allowKindChange": true}, fields{"allowNameChange": false})
		head := o.head()
		if d.chance(60) {
			d.put(head, "metadata/name", d.fresh("renamed"))
		}
		if d.chance(20) && o.kind.name == "Widget" {
			head["kind"] = "ClusterWidget"
		}
		d.put(head, "metadata/annotations/patched", "true")
		d.keep(l, entry, "patch", d.yaml(head))
	}
	d.put(l.k, "patches[]", entry)
}

// keep has the patch in the entry itself or in a file that it names.
func (d *drawer) keep(l *layer, entry fields, inline, text string) {
	if d.chance(50) {
		entry[inline] = text
		return
	}
	name := d.fresh("patch") + d.pick(".yaml", ".yml", ".json")
	d.write(join(l.dir, name), text)
	entry["path"] = name
}

func (d *drawer) patchable(l *layer) *object {
	var all []*object
	for _, o := range l.objects {
		if !o.gone && !o.twice {
			all = append(all, o)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[d.upTo(len(all))]
}

// exactly is a target that is the object.
func (d *drawer) exactly(o *object) fields {
	target := fields{"kind": o.kind.name, "name": o.label}
	if o.group() != "" && d.chance(50) {
		target["group"] = o.group()
	}
	if d.chance(50) {
		target["version"] = o.version()
	}
	if o.namespace != "" {
		target["namespace"] = o.namespace
	}
	return target
}

// target is one that may be several objects, or none.
func (d *drawer) target(o *object) fields {
	target := fields{}
	for _, field := range d.some(3, "group", "version", "kind", "name", "namespace", "labelSelector", "annotationSelector") {
		switch field {
		case "group":
			target[field] = o.group()
		case "version":
			target[field] = d.pick(o.version(), "v1.*")
		case "kind":
			target[field] = d.pick(o.kind.name, o.kind.name, "Deployment|StatefulSet", ".*Map")
		case "name":
			target[field] = d.pick(o.label, o.label[:1]+".*", "web|settings", ".*-1")
		case "namespace":
			target[field] = d.pick("team", "default", "prod", ".*")
		case "labelSelector":
			target[field] = d.pick("app=web", "tier in (web, api)", "!team", "app")
		case "annotationSelector":
			target[field] = d.pick("zone=prod", "zone", "team!=db")
		}
	}
	if len(target) == 0 {
		target["kind"] = o.kind.name
	}
	return target
}

// oldMerge adds entries to patchesStrategicMerge: files, or YAML as it is.
func (d *drawer) oldMerge(l *layer) {
	for range 1 + d.upTo(2) {
		if o := d.patchable(l); o != nil {
			text, entry := d.yaml(d.merge(o)), fields{}
			d.keep(l, entry, "path", text)
			d.put(l.k, "patchesStrategicMerge[]", entry["path"])
		}
	}
}

// oldOperations adds an entry to patchesJson6902.
func (d *drawer) oldOperations(l *layer) {
	if o := d.patchable(l); o != nil {
		entry := fields{"target": d.exactly(o)}
		entry["target"].(fields)["version"] = o.version()
		if o.group() != "" {
			entry["target"].(fields)["group"] = o.group()
		}
		if d.chance(20) {
			entry["target"].(fields)[d.pick("labelSelector", "annotationSelector")] = "!missing"
		}
		if d.chance(20) { // which kustomize reads and does not look at
			entry["options"] = fields{d.pick("allowNameChange", "allowKindChange"): true}
		}
		d.keep(l, entry, "patch", d.operations(o))
		d.put(l.k, "patchesJson6902[]", entry)
	}
}

// anyMerge is a merge patch that suits any object; what it is called does not matter beside a target.
func (d *drawer) anyMerge(o *object) fields {
	patch := fields{"apiVersion": o.apiVersion, "kind": o.kind.name, "metadata": fields{"name": d.pick(o.label, "any")}}
	d.put(patch, "metadata/"+d.pick("annotations", "labels"), fields{"patched": d.pick("1", "yes"), "zone": d.nothing("x")})
	if d.chance(8) {
		patch["$patch"] = "delete"
	}
	return patch
}

// nothing is null now and then, which takes a field out.
func (d *drawer) nothing(value any) any {
	if d.chance(25) {
		return nil
	}
	return value
}

// merge is a merge patch for the object.
func (d *drawer) merge(o *object) fields {
	patch := o.head()
	switch {
	case d.chance(5):
		patch["$patch"], o.gone = "delete", true
		return patch
	case d.chance(3) && o.body != nil:
		patch["$patch"] = "replace"
	}
	if d.chance(40) {
		d.put(patch, "metadata/"+d.pick("annotations", "labels")+"/"+d.pick("zone", "app", "new"), d.nothing(d.word()))
	}
	switch {
	case o.pods != "":
		d.mergePods(o, patch)
	case o.kind.name == "ConfigMap", o.kind.name == "Secret":
		patch["data"] = fields{"alpha": d.nothing("cGF0Y2hlZA=="), "added": "eA=="}
	case o.kind.name == "Service":
		d.put(patch, "spec/ports", []any{fields{"port": d.pickInt(80, 81), "name": "patched", "protocol": "TCP"}})
		d.put(patch, "spec/type", d.nothing("ClusterIP"))
	case o.kind.name == "Widget", o.kind.name == "ClusterWidget":
		patch["spec"] = fields{"patched": d.nothing(d.text()), "more": fields{"deep": fields{"text": d.text()}}, "parts": []any{fields{"name": "x", "size": 9}}}
		if d.chance(5) { // which may be of another sort there
			d.put(patch, "spec/alpha", d.value(2))
		}
	case strings.HasSuffix(o.kind.name, "Role"):
		patch["rules"] = []any{fields{"apiGroups": []any{"apps"}, "resources": []any{"*"}, "verbs": []any{"*"}}}
	case strings.HasSuffix(o.kind.name, "Binding") && o.group() == "rbac.authorization.k8s.io":
		patch["subjects"] = []any{fields{"kind": "ServiceAccount", "name": "default", "namespace": "patched"}}
	}
	return patch
}

func (d *drawer) pickInt(values ...int) int { return values[d.upTo(len(values))] }

// mergePods changes containers by name, and the lists in them by their keys.
func (d *drawer) mergePods(o *object, patch fields) {
	names := o.containers()
	if len(names) == 0 || d.chance(20) {
		d.put(patch, "spec/"+d.pick("replicas", "paused", "unknown"), d.nothing(3))
		return
	}
	c := fields{"name": names[d.upTo(len(names))]}
	list := []any{c}
	switch d.upTo(8) {
	case 0:
		c["env"] = []any{fields{"name": "MODE", "value": d.text()}, fields{"name": "ADDED", "value": d.text()}}
	case 1:
		c["image"] = d.image()
	case 2:
		if len(names) > 1 {
			c["$patch"] = "delete"
		}
	case 3:
		c["image"] = d.image()
		list = append(list, fields{"$patch": "replace"})
	case 4:
		c["ports"] = []any{fields{"containerPort": 8080, "name": "patched"}, fields{"containerPort": 9090, "$patch": "delete"}}
		c["args"] = d.nothing([]any{"--patched"})
	case 5:
		list = []any{fields{"name": "sidecar", "image": d.image(), "env": []any{fields{"name": "A", "value": "1"}}}}
		if d.chance(30) {
			d.put(patch, o.pods+"/$setElementOrder\\/containers", []any{fields{"name": "sidecar"}, fields{"name": names[0]}})
		}
	case 6:
		c["env"] = []any{fields{"name": "MODE", "$patch": "delete"}}
		c["resources"] = fields{"$patch": "replace", "limits": fields{"cpu": scalar("2")}}
	case 7:
		d.put(patch, o.pods+"/volumes", []any{fields{"name": "tmp", "$patch": d.pick("delete", "replace")}, fields{"name": "cache", "emptyDir": fields{}}})
		d.put(patch, o.pods+"/tolerations", []any{fields{"key": "patched", "operator": "Exists"}})
		d.put(patch, o.pods+"/nodeSelector", d.nothing(fields{"disk": "ssd"}))
	}
	d.put(patch, o.pods+"/containers", list)
	if o.kind.name == "Deployment" && d.chance(10) {
		d.put(patch, "spec/strategy", fields{"$retainKeys": []any{"type"}, "type": "Recreate"})
	}
}

// operations is a JSON patch for the object, as YAML or JSON.
func (d *drawer) operations(o *object) string {
	var ops []any
	add := func(op, path string, value any) {
		ops = append(ops, fields{"op": op, "path": path, "value": value})
	}
	for range 1 + d.upTo(3) {
		switch at := "/" + o.pods; d.upTo(7) {
		case 0:
			add("add", "/metadata/annotations", d.pairs(2))
		case 1:
			add("add", "/metadata/labels", fields{"patched": d.word()})
		case 2:
			if o.pods != "" && o.body != nil {
				add("replace", at+"/containers/0/image", d.image())
			}
		case 3:
			if o.pods != "" && o.body != nil {
				add("add", at+"/containers/-", fields{"name": d.fresh("json"), "image": "busybox"})
			}
		case 4:
			add("test", "/kind", o.kind.name)
		case 5:
			if o.body != nil && o.at("spec/replicas") != nil {
				ops = append(ops, fields{"op": "copy", "from": "/spec/replicas", "path": "/spec/minReadySeconds"})
			}
		case 6:
			add("add", "/spec", map[bool]any{true: fields{}, false: o.body["spec"]}[o.body["spec"] == nil])
		}
	}
	if len(ops) == 0 {
		add("test", "/kind", o.kind.name)
	}
	if d.chance(40) {
		if data, err := json.Marshal(plainly(ops)); err == nil {
			return string(data)
		}
	}
	return d.yaml(ops)
}
