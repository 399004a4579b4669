package buildtest

import (
	"strings"

	"flotilla.dev/flotilla/pkg/fleet"
)

// spec is what an App has on top.
func (d *drawer) spec() fleet.BuildSpec {
	maybe := func(percent int, values ...string) string {
		if !d.chance(percent) {
			return ""
		}
		return d.pick(values...)
	}
	s := fleet.BuildSpec{NamePrefix: maybe(25, "s-"), NameSuffix: maybe(20, "-t")}
	if !d.plan.scattered {
		s.TargetNamespace = maybe(40, "target", "team")
	}
	if d.chance(30) {
		s.Images = append(s.Images, fleet.Image{Name: d.pick("nginx", "ghcr.io/acme/web"), NewName: maybe(40, "mirror/web"), NewTag: maybe(60, "spec"), Digest: maybe(20, "sha256:"+strings.Repeat("3", 64))})
	}
	for range d.upTo(3) {
		s.Patches = append(s.Patches, fleet.Patch{
			Patch: d.pick("- {op: add, path: /metadata/annotations, value: {spec: '1'}}", "apiVersion: v1\nkind: Any\nmetadata: {name: any, labels: {spec: '1'}}\n", "apiVersion: v1\nkind: Any\nmetadata: {name: any}\n$patch: delete\n"),
			Target: &fleet.PatchTarget{
				Kind: d.pick("Deployment", "ConfigMap", "Service|Widget"), Name: maybe(20, "web.*", ".*-1"), Namespace: maybe(10, "team"), LabelSelector: maybe(15, "app=web"),
				AnnotationSelector: maybe(5, "zone"), Group: maybe(5, "apps"), Version: maybe(5, "v1"),
			},
		})
	}
	if d.chance(25) {
		dir := d.fresh("specpart")
		d.part(dir, 0, nil)
		s.Components = append(s.Components, relative(Dir, dir))
	}
	if d.chance(5) {
		s.Components, s.IgnoreMissingComponents = append(s.Components, "../nowhere"), true
	}
	if d.chance(4) {
		s.BuildMetadata = []string{d.pick("originAnnotations", "transformerAnnotations")}
	}
	return s
}
