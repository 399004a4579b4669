package buildtest

import "fmt"

var images = []string{
	"nginx", "nginx:1.25", "busybox", "ghcr.io/acme/web:v1", "ghcr.io/acme/side", "registry.example.com:5000/acme/api:v2", "registry.example.com:5000/acme/api", "docker.io/library/redis:7-alpine",
	"ghcr.io/acme/web@sha256:1111111111111111111111111111111111111111111111111111111111111111", "ghcr.io/acme/web:v1@sha256:1111111111111111111111111111111111111111111111111111111111111111", "$(IMAGE)", "nginx-unprivileged:1",
}

func (d *drawer) image() string { return d.pick(images...) }

// pod fills an object that has pods.
func pod(d *drawer, o *object) {
	spec := fields{}
	for _, list := range []string{"containers", "initContainers"} {
		if list == "initContainers" && !d.chance(20) {
			continue
		}
		var out []any
		for i := range 1 + d.upTo(3) {
			out = append(out, d.container(list, i))
		}
		spec[list] = out
	}
	if d.chance(20) {
		spec["volumes"] = []any{fields{"name": "tmp", "emptyDir": fields{}}}
	}
	if d.chance(6) {
		spec["volumes"] = []any{fields{"name": "model", "image": fields{"reference": d.image(), "pullPolicy": "Always"}}}
	}
	if d.chance(10) {
		spec["tolerations"] = []any{fields{"key": "a", "operator": "Exists"}, fields{"key": "b", "value": d.text()}}
	}
	if d.chance(5) {
		spec["hostAliases"] = []any{fields{"ip": "127.0.0.1", "hostnames": []any{"a", "b"}}}
	}
	d.put(o.body, o.pods, spec)
}

func (d *drawer) container(list string, i int) fields {
	c := fields{"name": fmt.Sprintf("c%d", i), "image": d.image()}
	if list == "initContainers" {
		c["name"] = fmt.Sprintf("init%d", i)
	}
	if d.chance(30) {
		c["env"] = []any{fields{"name": "MODE", "value": d.text()}, fields{"name": "POD", "valueFrom": fields{"fieldRef": fields{"fieldPath": "metadata.name"}}}}
	}
	if d.chance(20) {
		c["args"] = []any{"--mode", d.text(), "--name=$(POD)"}
	}
	if d.chance(30) {
		c["ports"] = []any{fields{"containerPort": 8080, "name": "http"}, fields{"containerPort": 9090, "protocol": d.pick("TCP", "UDP")}}
	}
	if d.chance(15) {
		c["resources"] = fields{"limits": fields{"cpu": d.pick("100m", "1", "0.5"), "memory": "128Mi"}, "requests": fields{"cpu": scalar(d.pick("1", "0.5", "250m", `"2"`))}}
	}
	return c
}

func workload(d *drawer, o *object) {
	pod(d, o)
	labels := fields{"app": o.label}
	if d.chance(90) {
		d.put(o.body, "spec/template/metadata/labels", labels)
	}
	switch {
	case o.kind.name == "ReplicationController":
		d.put(o.body, "spec/selector", labels)
	case d.chance(95):
		d.put(o.body, "spec/selector/matchLabels", labels)
	}
	if o.kind.name != "DaemonSet" && d.chance(70) {
		d.put(o.body, "spec/replicas", 1+d.upTo(3))
	}
	if d.chance(10) {
		d.put(o.body, "spec/template/metadata/annotations", d.pairs(1))
	}
	if d.chance(10) {
		term := fields{"labelSelector": fields{"matchLabels": labels}, "topologyKey": "kubernetes.io/hostname"}
		affinity := d.pick("podAffinity", "podAntiAffinity")
		if d.chance(50) {
			d.put(o.body, "spec/template/spec/affinity/"+affinity+"/requiredDuringSchedulingIgnoredDuringExecution[]", term)
		} else {
			d.put(o.body, "spec/template/spec/affinity/"+affinity+"/preferredDuringSchedulingIgnoredDuringExecution[]", fields{"weight": 1, "podAffinityTerm": term})
		}
	}
	if d.chance(6) {
		d.put(o.body, "spec/template/spec/topologySpreadConstraints[]", fields{"maxSkew": 1, "labelSelector": fields{"matchLabels": labels}})
	}
	if d.chance(5) {
		d.put(o.body, "spec/strategy", fields{"type": "RollingUpdate", "rollingUpdate": fields{"maxSurge": scalar(d.pick("1", "25%", `"1"`))}})
	}
}

func statefulSet(d *drawer, o *object) {
	workload(d, o)
	if d.chance(40) {
		d.put(o.body, "spec/volumeClaimTemplates[]", fields{"metadata": fields{"name": "data"}, "spec": fields{"accessModes": []any{"ReadWriteOnce"}, "resources": fields{"requests": fields{"storage": "1Gi"}}}})
	}
}

func job(d *drawer, o *object) {
	pod(d, o)
	d.put(o.body, o.pods+"/restartPolicy", "Never")
	if d.chance(25) {
		d.put(o.body, "spec/selector/matchLabels/app", o.label)
	}
	if d.chance(4) {
		d.put(o.body, "metadata/generateName", o.label+"-")
	}
}

func cronJob(d *drawer, o *object) {
	pod(d, o)
	d.put(o.body, "spec/schedule", "*/5 * * * *")
	if d.chance(25) {
		d.put(o.body, "spec/jobTemplate/spec/selector/matchLabels/app", o.label)
	}
}

func configMap(d *drawer, o *object) {
	data := fields{}
	for range d.upTo(5) {
		data[d.pick("alpha", "beta", "app.conf", "key_3", "K-4")] = d.text()
	}
	if d.plan.odd && d.chance(4) {
		data[d.pick("1", "true", "1.5")] = d.text()
	}
	if d.chance(15) {
		data["config.json"] = d.pick(`{"host": "web", "port": 80}`, "{\n  \"host\": \"web\",\n  \"list\": [1, 2]\n}\n", "host: web\nport: 80\n")
	}
	if len(data) > 0 || d.chance(50) {
		o.body["data"] = data
	}
	if d.chance(5) {
		o.body["binaryData"] = fields{"blob": "AAEC"}
	}
	if d.chance(5) {
		o.body["immutable"] = true
	}
	if d.plan.odd && d.chance(2) {
		o.body["data"] = nil
	}
}

func secret(d *drawer, o *object) {
	if d.chance(60) {
		o.body["stringData"] = fields{"password": d.text()}
	} else {
		o.body["data"] = fields{"password": "aHVudGVyMg==", "user": "YWRtaW4="}
	}
	if d.chance(50) {
		o.body["type"] = "Opaque"
	}
}

func service(d *drawer, o *object) {
	ports := []any{fields{"port": 80, "targetPort": scalar(d.pick("8080", "http"))}}
	if d.chance(30) {
		ports = append(ports, fields{"port": 443, "name": "https"})
	}
	d.put(o.body, "spec/ports", ports)
	if d.chance(80) {
		d.put(o.body, "spec/selector", fields{"app": d.word()})
	}
}

func role(d *drawer, o *object) {
	rule := fields{"apiGroups": []any{""}, "resources": []any{d.pick("configmaps", "secrets", "pods")}, "verbs": []any{"get"}}
	o.body["rules"] = []any{rule}
	if o.cluster && d.chance(20) {
		o.body["aggregationRule"] = fields{"clusterRoleSelectors": []any{fields{"matchLabels": d.pairs(1)}}}
	}
}

// binding has subjects of every sort; refer adds those that are objects of the tree.
func binding(d *drawer, o *object) {
	d.put(o.body, "roleRef", fields{"apiGroup": "rbac.authorization.k8s.io", "kind": d.pick("ClusterRole", "Role"), "name": d.pick("view", "edit", "missing")})
	if o.cluster {
		d.put(o.body, "roleRef/kind", "ClusterRole")
	}
	for range d.upTo(3) {
		subject := fields{"kind": "ServiceAccount", "name": d.pick("default", "robot")}
		switch d.upTo(4) {
		case 0:
			subject = fields{"kind": d.pick("User", "Group"), "name": d.word(), "apiGroup": "rbac.authorization.k8s.io"}
		case 1, 2:
			subject["namespace"] = d.pick("default", "team", "elsewhere")
		}
		d.put(o.body, "subjects[]", subject)
	}
}

func claim(d *drawer, o *object) {
	d.put(o.body, "spec/accessModes", []any{"ReadWriteOnce"})
	d.put(o.body, "spec/storageClassName", d.pick("standard", "", "fast"))
}

func autoscaler(d *drawer, o *object) {
	d.put(o.body, "spec", fields{"maxReplicas": 5, "scaleTargetRef": fields{"apiVersion": "apps/v1", "kind": "Deployment", "name": "missing"}})
}

func ingress(d *drawer, o *object) {
	d.put(o.body, "spec/rules[]/host", "example.com")
	if d.chance(30) {
		d.put(o.body, "spec/tls[]/hosts", []any{"example.com"})
	}
}

func networkPolicy(d *drawer, o *object) {
	for _, path := range d.some(3, "spec/podSelector/matchLabels", "spec/ingress[]/from[]/podSelector/matchLabels", "spec/egress[]/to[]/podSelector/matchLabels") {
		d.put(o.body, path, d.pairs(1))
	}
}

func disruptionBudget(d *drawer, o *object) {
	d.put(o.body, "spec/minAvailable", scalar(d.pick("1", "50%")))
	d.put(o.body, "spec/selector/matchLabels", d.pairs(1))
}

func webhook(d *drawer, o *object) {
	d.put(o.body, "webhooks[]/failurePolicy", "Ignore")
}

func definition(d *drawer, o *object) {
	if o.label != "web" && o.label != "settings" {
		o.label += ".example.com"
		d.put(o.body, "metadata/name", o.label)
	}
	d.put(o.body, "spec", fields{"group": "example.com", "names": fields{"kind": "Widget"}, "scope": "Namespaced"})
	if d.chance(60) {
		d.put(o.body, "spec/conversion/webhook/clientConfig/service", fields{"name": "web", "namespace": "default"})
	}
}

// custom objects are of kinds that no schema knows.
func custom(d *drawer, o *object) {
	spec, isMap := d.value(3).(fields)
	if !isMap {
		spec = fields{"size": d.value(1)}
	}
	o.body["spec"] = spec
	if d.chance(20) {
		d.put(o.body, "spec/containers", []any{fields{"name": "c", "image": d.image()}})
	}
	if d.chance(20) {
		d.put(o.body, "spec/parts", []any{fields{"name": "x", "size": d.value(0)}, fields{"name": "y"}})
	}
}
