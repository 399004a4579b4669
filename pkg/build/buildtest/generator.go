package buildtest

import (
	"fmt"
	"strings"
)

// generators are maps made of files and literals, some of them onto one that is there.
func (d *drawer) generators(l *layer) {
	if d.chance(12) {
		l.k["generatorOptions"] = d.generatorOptions()
	}
	for _, kind := range []string{"ConfigMap", "Secret"} {
		field := strings.ToLower(kind[:1]) + kind[1:] + "Generator"
		for range d.upTo(14) / 11 {
			g, o := fields{}, &object{kind: kindNamed(kind), label: d.fresh("gen"), generated: true}
			if onto := d.mergeable(l, kind); onto != nil && d.chance(60) {
				o = nil
				g["name"], g["behavior"] = onto.label, d.pick("merge", "replace")
				if onto.namespace != "" {
					g["namespace"] = onto.namespace
				}
			} else {
				g["name"] = o.label
				if d.plan.scattered || d.chance(5) {
					if o.namespace = d.pick(namespaces...); o.namespace != "" {
						g["namespace"] = o.namespace
					}
				}
				if d.chance(10) {
					g["behavior"] = d.pick("create", "unspecified")
				}
			}
			d.sources(l, g, kind)
			if d.chance(20) {
				g["options"] = d.generatorOptions()
			}
			d.put(l.k, field+"[]", g)
			if o != nil {
				l.objects = append(l.objects, o)
			}
		}
	}
}

// mergeable is an object of the kind that a generator can change.
func (d *drawer) mergeable(l *layer, kind string) *object {
	var all []*object
	for _, o := range l.objects {
		if o.kind.name == kind && !o.twice && !o.gone && (kind == "ConfigMap" || d.chance(30)) {
			all = append(all, o)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[d.upTo(len(all))]
}

func (d *drawer) generatorOptions() fields {
	options := fields{}
	if d.chance(40) {
		options["labels"] = d.pairs(1)
	}
	if d.chance(40) {
		options["annotations"] = d.pairs(1)
	}
	if d.chance(35) {
		options["disableNameSuffixHash"] = true
	}
	if d.chance(20) {
		options["immutable"] = true
	}
	return options
}

// sources are where a generator takes its data from.
func (d *drawer) sources(l *layer, g fields, kind string) {
	if kind == "Secret" && d.chance(40) {
		g["type"] = d.pick("Opaque", "kubernetes.io/tls", "kubernetes.io/dockerconfigjson", "example.com/custom")
	}
	if d.chance(70) {
		var literals []string
		for i := range 1 + d.upTo(3) {
			value := d.text()
			if d.chance(15) {
				value = d.pick(`"`+value+`"`, `'`+value+`'`, `"`+value)
			}
			literals = append(literals, fmt.Sprintf("%s%d=%s", d.pick("key", "a.b", "K-"), i, value))
		}
		g["literals"] = literals
	}
	for i := range d.upTo(6) / 3 {
		name := d.fresh("data") + d.pick(".txt", ".json", ".conf")
		d.write(join(l.dir, name), d.fileContent())
		entry := name
		if d.chance(40) {
			entry = fmt.Sprintf("file%d=%s", i, name)
		}
		d.put(g, "files[]", entry)
	}
	envs := d.upTo(6) / 4
	for i := range envs {
		name := d.fresh("env") + ".env"
		d.write(join(l.dir, name), d.pick("", "\ufeff", "# comment\n", "\n \n")+fmt.Sprintf("ENV_%d=%s\n", i, d.pick("x", "a=b", `"quoted"`, " lead", "", "trail ", "windows\r", "ünï", "1e3"))+
			d.pick("", "  EMPTY\n", "LAST=no newline", "#end\n"))
		d.put(g, "envs[]", name)
	}
	if d.chance(8) {
		name := d.fresh("env") + ".env"
		d.write(join(l.dir, name), "OLD=way\n")
		g["env"] = name
	}
}

func (d *drawer) fileContent() string {
	if d.plan.odd && d.chance(4) {
		return d.pick(rawTexts...)
	}
	return d.pick("hello\n", "", "a: b\nc: [1, 2]\n", `{"a": {"b": 1}}`, "no newline", "first\r\nsecond\r\n", "\xff\xfe\x00binary", "trailing space \n\n", "a\ttab\n", "# comment\n", "ünïcødé 🎉\n", strings.Repeat("line of a long file\n", 40), "key=value\n", "\ufeffbom")
}
