package buildtest

// replacements copies values from object to object.
func (d *drawer) replacements(l *layer) {
	if !d.chance(12) {
		return
	}
	for range 1 + d.upTo(2) {
		r := d.replacement(l)
		switch {
		case r == nil:
		case d.chance(30):
			name := d.fresh("replacement") + ".yaml"
			if d.chance(40) {
				d.write(join(l.dir, name), d.yaml([]any{r}))
			} else {
				d.write(join(l.dir, name), d.yaml(r))
			}
			d.put(l.k, "replacements[]", fields{"path": name})
		default:
			d.put(l.k, "replacements[]", r)
		}
	}
}

func (d *drawer) replacement(l *layer) fields {
	from := d.patchable(l)
	if from == nil || d.plan.scattered {
		return nil
	}
	r := fields{}
	if d.chance(20) {
		r["sourceValue"] = d.pick("static", "1", "true", "a/b", "")
	} else {
		r["source"] = d.source(from)
	}
	for range 1 + d.upTo(2) {
		if to := d.patchable(l); to != nil {
			d.put(r, "targets[]", d.replaced(to))
		}
	}
	return r
}

func (d *drawer) source(o *object) fields {
	source := fields{"kind": o.kind.name, "name": o.label}
	if d.chance(30) {
		source["version"] = o.version()
		source["group"] = o.group()
	}
	if o.namespace != "" && d.chance(50) {
		source["namespace"] = o.namespace
	}
	switch {
	case o.body != nil && o.at("spec/replicas") != nil && d.chance(50):
		source["fieldPath"] = "spec.replicas"
	case len(o.containers()) > 0 && d.chance(60):
		source["fieldPath"] = d.pick("spec.template.spec.containers.0.image", "spec.template.spec.containers.[name=c0].image")
		if o.pods == "spec/template/spec" && d.chance(50) {
			source["options"] = fields{"delimiter": d.pick(":", "/", "."), "index": 0}
		}
		if o.pods != "spec/template/spec" {
			source["fieldPath"] = "metadata.name"
		}
	case d.chance(50):
		source["fieldPath"] = d.pick("metadata.name", "metadata.name", "kind", "kind", "metadata")
	}
	if options, has := source["options"].(fields); has && d.chance(15) { // which mean nothing there
		options["encoding"], options["create"] = "none", true
	}
	return source
}

// replaced is a target: fields of the object that are there, or are made.
func (d *drawer) replaced(o *object) fields {
	target := fields{}
	choose := fields{"kind": o.kind.name, "name": o.label}
	switch d.upTo(5) {
	case 0:
		delete(choose, "name")
		if d.chance(50) {
			target["reject"] = []any{fields{"name": d.pick(o.label, "web", ".*-1")}, d.target(o)}
		}
	case 1:
		choose[d.pick("labelSelector", "annotationSelector")] = d.pick("app=web", "!missing")
		if o.namespace != "" {
			choose["namespace"] = o.namespace
		}
	case 2:
		choose["group"], choose["version"] = o.group(), o.version()
	}
	target["select"] = choose
	switch {
	case len(o.containers()) > 0 && o.pods == "spec/template/spec" && d.chance(50):
		target["fieldPaths"] = []any{d.pick("spec.template.spec.containers.*.image", "spec.template.spec.containers.0.image", "spec.template.spec.containers.[name=c0].image")}
		if d.chance(50) {
			target["options"] = fields{"delimiter": d.pick(":", "/"), "index": d.pickInt(0, 1, 5, -1)}
		}
	case o.kind.name == "ConfigMap" && o.body != nil && o.at("data/config.json") != nil && d.chance(70):
		target["fieldPaths"] = []any{`data.config\.json.host`}
	default:
		target["fieldPaths"] = []any{d.pick("metadata.annotations.copied", `metadata.annotations.[example.com/copied]`, "metadata.labels.copied", "spec.copied.deep", "data.copied")}
		target["options"] = fields{"create": true}
		if d.chance(8) {
			target["options"].(fields)["encoding"] = "none"
		}
	}
	return target
}
