package buildtest

import "strings"

// layer is a directory with a kustomization file.
type layer struct {
	dir       string
	component bool
	// depth is how many directories it may still include below each other.
	depth int
	k     fields
	// objects are all that are there when its transformations begin.
	objects []*object
}

// overlay makes a directory and what it includes, and returns the objects that come out of it.
func (d *drawer) overlay(dir string, depth int) []*object {
	return d.layer(&layer{dir: dir, depth: depth})
}

// part makes a component for the objects that are there.
func (d *drawer) part(dir string, depth int, objects []*object) []*object {
	return d.layer(&layer{dir: dir, depth: depth, component: true, objects: objects})
}

func (d *drawer) layer(l *layer) []*object {
	l.k = fields{}
	d.header(l)
	d.bases(l)
	d.generators(l)
	d.resources(l)
	d.parts(l)
	d.patches(l)
	d.transformations(l)
	d.replacements(l)
	d.rarely(l)
	if l.dir == Dir && d.plan.flaw != "" {
		flaws[d.plan.flaw](d, l)
	}
	if len(l.k) == 0 || len(l.k) == 2 && l.k["kind"] != nil && d.plan.flaw == "" {
		l.k["commonAnnotations"] = fields{"note": "1"} // kustomize refuses a file that says nothing
	}
	d.write(join(l.dir, d.pick("kustomization.yaml", "kustomization.yaml", "kustomization.yml", "Kustomization")), d.kustomization(l.k))
	return l.objects
}

// kustomization writes the file: of one document, as kustomize reads no more.
func (d *drawer) kustomization(k fields) string {
	s := d.style()
	s.markers = false
	return d.styled(s, k)
}

func (d *drawer) header(l *layer) {
	switch {
	case l.component:
		l.k["apiVersion"], l.k["kind"] = "kustomize.config.k8s.io/v1alpha1", "Component"
	case d.chance(60):
		l.k["apiVersion"], l.k["kind"] = "kustomize.config.k8s.io/v1beta1", "Kustomization"
	}
	if d.chance(4) {
		l.k["metadata"] = fields{"name": "arbitrary", "namespace": "ignored", "labels": d.pairs(1), "annotations": fields{d.pick("config.kubernetes.io/local-config", "note"): "true"}}
	}
}

// bases includes other directories, now and then the same one twice, by way of two that name its objects apart.
func (d *drawer) bases(l *layer) {
	if l.depth == 0 {
		return
	}
	switch {
	case d.chance(12):
		inner := d.fresh("shared")
		outer := d.shared
		d.shared = true
		objects := d.overlay(inner, l.depth-1)
		d.shared = outer
		for _, o := range objects {
			o.twice = true
		}
		for _, prefix := range []string{"left", "right"} {
			side := d.fresh(prefix)
			k := fields{"resources": []any{"../" + inner}, "namePrefix": prefix + "-"}
			if d.chance(30) {
				k["nameSuffix"] = "-" + prefix
			}
			d.write(join(side, "kustomization.yaml"), d.kustomization(k))
			d.include(l, side)
		}
		l.objects = append(l.objects, objects...)
	case d.chance(60):
		for range 1 + d.upTo(3)/2 {
			dir := d.fresh("base")
			if d.chance(30) {
				dir = join(l.dir, dir)
			}
			l.objects = append(l.objects, d.overlay(dir, l.depth-1)...)
			d.include(l, dir)
		}
	}
}

// include lists a directory, as resource or by the field of old.
func (d *drawer) include(l *layer, dir string) {
	field := "resources"
	if d.chance(8) {
		field = "bases"
	}
	d.put(l.k, field+"[]", relative(l.dir, dir)+d.pick("", "", "", "/"))
}

// relative is the path from one directory to another.
func relative(from, to string) string {
	if inside, is := strings.CutPrefix(to, from+"/"); is {
		return inside
	}
	return strings.Repeat("../", strings.Count(from, "/")+1) + to
}

// resources writes files with new objects.
func (d *drawer) resources(l *layer) {
	for range d.upTo(4) {
		var documents []any
		for range 1 + d.upTo(5)/2 {
			o := d.object(l.objects)
			l.objects = append(l.objects, o)
			documents = append(documents, o.body)
		}
		if d.chance(5) {
			documents = d.listed(documents)
		}
		name := d.fresh("r") + d.pick(".yaml", ".yaml", ".yml", ".json")
		if d.chance(10) {
			name = "sub/" + name
		}
		text := d.yaml(documents...)
		if strings.HasSuffix(name, ".json") {
			text = d.styled(style{json: true, indent: 2}, documents[0])
			for _, document := range documents[1:] {
				text += "---\n" + d.styled(style{json: true, indent: 2}, document)
			}
		}
		d.write(join(l.dir, name), text)
		d.put(l.k, "resources[]", d.pick("", "./")+name)
	}
}

// listed has the objects in a list of theirs.
func (d *drawer) listed(documents []any) []any {
	head := fields{"apiVersion": "v1", "kind": d.pick("List", "ConfigMapList", "WidgetList")}
	if d.chance(30) {
		head["metadata"] = fields{"name": "ignored"}
	}
	head["items"] = documents
	return []any{head}
}

// parts includes components: they act on what is there so far.
func (d *drawer) parts(l *layer) {
	if l.depth == 0 {
		return
	}
	for range d.upTo(8) / 5 {
		dir := d.fresh("part")
		l.objects = d.part(dir, min(l.depth-1, 1), l.objects)
		d.put(l.k, "components[]", relative(l.dir, dir))
	}
}
