package render

import (
	"slices"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Distrust has kustomize itself build a tenant's trees of these shapes from now on: what an earlier pool, or another one,
// found out of them.
func (p *Pool) Distrust(tenant string, shapes ...fleet.Digest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, shape := range shapes {
		p.distrust.add(tenant, shape)
	}
}

// distrust remembers, for each tenant, the shapes of trees of which a build was not what kustomize made of it: kustomize
// itself builds those from then on, also in workers that start later.
type distrust struct {
	shapes  map[string][]fleet.Digest
	tenants []string // of which there are some, in the order in which they came
}

// How many shapes of a tenant are remembered, and of how many tenants, some of which may be gone: the last ones.
const (
	maxDistrusted = 1000
	maxDistrusts  = 1000
)

func (d *distrust) add(tenant string, shape fleet.Digest) {
	known, is := d.shapes[tenant]
	switch {
	case slices.Contains(known, shape):
		return
	case len(known) == maxDistrusted:
		known = slices.Delete(known, 0, 1)
	case !is && len(d.tenants) == maxDistrusts:
		delete(d.shapes, d.tenants[0])
		d.tenants = slices.Delete(d.tenants, 0, 1)
	}
	if !is {
		d.tenants = append(d.tenants, tenant)
	}
	d.shapes[tenant] = append(known, shape)
}

// lacking are the shapes of a tenant that a worker was not told.
func (d *distrust) lacking(tenant string, told map[fleet.Digest]bool) (out []fleet.Digest) {
	for _, shape := range d.shapes[tenant] {
		if !told[shape] {
			told[shape] = true
			out = append(out, shape)
		}
	}
	return out
}
