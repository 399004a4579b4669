package e2e

import (
	"fmt"
	"strings"

	"flotilla.dev/flotilla/test/crowd"
	"flotilla.dev/flotilla/test/lab"
)

// onMany has a release on every cluster and every guest: the chart is fetched and packaged once, and comes to each of them
// once, whatever its values become. The chart is the one of this test alone.
func (a *app) onMany(server *lab.HelmRepo, guests []*crowd.Guest) {
	a.t.Helper()
	names := []string{}
	for _, m := range a.fleet.Members {
		names = append(names, m.Name())
	}
	for _, g := range guests {
		names = append(names, g.Name)
	}
	hub, all := a.fleet.Hub, float64(len(names))
	downloads := func() int {
		return server.Count(func(v lab.Visit) bool { return strings.HasSuffix(v.Path, "/web-1.0.0.tgz") })
	}
	builds, built := a.count(hub, "flotilla_hub_builds_total", "result=built"), 0.0
	made := a.count(hub, "flotilla_hub_packs_total", "result=made")
	sent := a.count(hub, "flotilla_hub_pack_bytes_total")
	got := make([]float64, len(names)) // bytes, by cluster
	was := downloads()

	for n, value := range []string{"first", "second", "third"} {
		everywhere := "clusters: {names: [" + strings.Join(names, ", ") + "]}"
		a.apply(strings.Replace(a.released("many", ofRepository, "value: "+value), "clusters: {selector: {matchExpressions: [{key: tier, operator: Exists}]}}", everywhere, 1))
		for _, m := range a.fleet.Members {
			a.stands(m, "many", "Ready True", value, "1.0.0")
		}
		a.fleetctl("wait", "hr/many", "--for=ready", "--timeout", patience.String())
		if status := a.get("hr/many").Status.Fleet; status.Total != len(names) || status.Ready != len(names) {
			a.t.Errorf("of %d clusters hr/many counts %+v", len(names), status)
		}
		built++
		a.rose(builds, built)
		a.rose(made, built)
		for i, name := range names {
			before := got[i]
			got[i] = a.came(name, guests)
			if came := got[i] - before; n == 0 && came < noiseSize || n > 0 && (came <= 0 || came > noiseSize/16) {
				a.t.Errorf("%v bytes came to %s with the value %q, of a chart of more than %d", came, name, value, noiseSize)
			}
		}
	}
	if n := downloads() - was; n != 1 {
		a.t.Errorf("the chart was fetched %d times for %v clusters", n, all)
	}
	if sum := a.metric(hub, sent.name) - sent.from; sum < all*noiseSize || sum > all*noiseSize*1.25 {
		a.t.Errorf("the hub sent %v bytes: a chart of %d for each of %v clusters is %v", sum, noiseSize, all, all*noiseSize)
	}
	a.fleetctl("delete", "hr/many", "--confirm", fmt.Sprint(len(names)))
}

// came is how many bytes of packs came to a cluster, of which each guest knows that none came twice.
func (a *app) came(name string, guests []*crowd.Guest) float64 {
	a.t.Helper()
	for _, g := range guests {
		if g.Name == name {
			n, err := g.Fetched()
			if err != nil {
				a.t.Error(err)
			}
			return float64(n)
		}
	}
	return a.metric(a.fleet.Member(name).Spoke, "flotilla_session_fetched_bytes_total")
}
