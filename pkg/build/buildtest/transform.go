package buildtest

// transformations are those fields that change every object, or all of a name.
func (d *drawer) transformations(l *layer) {
	if !d.plan.scattered && d.chance(25) {
		l.k["namespace"] = d.pick("prod", "team", "default")
	}
	if d.chance(25) {
		l.k["namePrefix"] = d.pick("p-", "dev-", "x")
	}
	if d.chance(18) {
		l.k["nameSuffix"] = d.pick("-s", "-v2", "0")
	}
	if d.chance(15) {
		l.k["commonLabels"] = d.pairs(2)
	}
	if d.chance(20) {
		l.k["labels"] = d.labels()
	}
	if d.chance(18) {
		pairs := d.pairs(2)
		if d.chance(25) {
			pairs["text"] = d.text()
		}
		l.k["commonAnnotations"] = pairs
	}
	if d.chance(30) {
		field := "images"
		if d.chance(12) {
			field = "imageTags"
		}
		for range 1 + d.upTo(3) {
			d.put(l.k, field+"[]", d.imageChange())
		}
	}
	d.replicas(l)
}

// labels are entries of the field of that name.
func (d *drawer) labels() []any {
	var out []any
	for range 1 + d.upTo(2) {
		entry := fields{"pairs": d.pairs(2)}
		for _, include := range d.some(2, "includeSelectors", "includeTemplates", "includeVolumeClaimTemplates") {
			entry[include] = true
		}
		if d.chance(15) {
			entry["fields"] = []any{d.pickFields(
				fields{"path": "spec/labels", "kind": "Widget", "group": "example.com", "version": "v1", "create": true},
				fields{"path": "spec/template/metadata/labels", "kind": "Deployment", "create": true},
				fields{"path": "metadata/annotations", "create": true},
				fields{"path": "spec/parts[]/labels", "kind": "Widget"},
			)}
		}
		out = append(out, entry)
	}
	return out
}

func (d *drawer) pickFields(values ...fields) fields { return values[d.upTo(len(values))] }

func (d *drawer) imageChange() fields {
	change := fields{"name": d.pick("nginx", "busybox", "ghcr.io/acme/web", "ghcr.io/acme/side", "registry.example.com:5000/acme/api", "docker.io/library/redis", "$(IMAGE)", "unused", "mirror/web")}
	for _, field := range d.some(2, "newName", "newTag", "digest", "tagSuffix") {
		change[field] = map[string]string{
			"newName": d.pick("mirror/web", "nginx", "mirror.example.com:5000/x"), "newTag": d.pick("v9", "1.26", "007", "latest"),
			"digest": "sha256:2222222222222222222222222222222222222222222222222222222222222222", "tagSuffix": "-alpine",
		}[field]
	}
	return change
}

// scalable are the kinds that have replicas.
var scalable = map[string]bool{"Deployment": true, "StatefulSet": true, "ReplicaSet": true, "ReplicationController": true}

func (d *drawer) replicas(l *layer) {
	for _, o := range l.objects {
		if scalable[o.kind.name] && !o.gone && d.chance(12) {
			d.put(l.k, "replicas[]", fields{"name": o.label, "count": d.upTo(7)})
		}
	}
}
